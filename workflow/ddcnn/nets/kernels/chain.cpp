// Kernels one after the other in one call: in between, Python would take as long as the smaller ones.

#include "kernels.h"

namespace {

enum Kind : long { CONVOLUTION, FIRST_LAYER, FIRST_LAYER_POOL, NORM, NORM_POOL, POOL, AVERAGE, DENSE, DROPOUT };
constexpr long NOWHERE = -1;

// A kernel with the sizes of its input, as ddcnn.nets.kernels.chain.Link has them.
struct Link {
    long kind, images, depth, height, width, channels, channels_out, window_depth, padding, with_relu, training;
    // Where they begin in the memory of the chain, in bytes, or NOWHERE. The gradient of an input may lie where the
    // input was, if nobody reads that again.
    long output, d_input, saved, which, largest;
    double momentum, epsilon;

    long pixels() const { return depth * height * width; }
    long rows() const { return images * pixels(); }
    bool has_weights() const { return kind <= FIRST_LAYER_POOL || kind == DENSE; }
};

struct Weights {
    const float *weight, *bias;  // weight: of a dropout the factors
    float *running_mean, *running_var;
    int64_t* batches;  // seen so far; null where they are not counted
};

// Tensors of all kernels: weights, then biases, and so on.
Weights of(void* const* tensors, int count, int i) {
    auto floats = [&](int kind) { return static_cast<float*>(tensors[kind * count + i]); };
    return {floats(0), floats(1), floats(2), floats(3), static_cast<int64_t*>(tensors[4 * count + i])};
}

struct Gradients {
    float *weight, *bias;
};

template <typename T>
T* at(char* memory, long offset) { return offset == NOWHERE ? nullptr : reinterpret_cast<T*>(memory + offset); }

#define SIZES(k) int(k.images), int(k.depth), int(k.height), int(k.width), int(k.channels)
#define DENSE_SIZES(k) int(k.images), int(k.channels), int(k.channels_out)
#define KERNEL(k) SIZES(k), int(k.channels_out), int(k.window_depth), int(k.padding)

int forward(const Link& k, const Weights& w, const float* x, char* memory, float* y) {
    const float momentum = float(k.momentum), epsilon = float(k.epsilon);
    float* saved = at<float>(memory, k.saved);
    uint8_t* which = at<uint8_t>(memory, k.which);
    if (w.batches) ++*w.batches;
    switch (k.kind) {
        case CONVOLUTION: return convolution_forward(x, w.weight, w.bias, y, KERNEL(k));
        case FIRST_LAYER: return first_layer_forward(x, w.weight, w.bias, y, KERNEL(k));
        case FIRST_LAYER_POOL: return first_layer_pool_forward(x, w.weight, w.bias, y, which, KERNEL(k));
        case NORM:
            return norm_forward(x, w.weight, w.bias, w.running_mean, w.running_var, momentum, epsilon, k.training,
                                k.with_relu, y, saved, k.rows(), int(k.channels));
        case NORM_POOL:
            return norm_pool_forward(x, w.weight, w.bias, w.running_mean, w.running_var, momentum, epsilon, k.training,
                                     y, which, at<float>(memory, k.largest), saved, SIZES(k), int(k.window_depth));
        case POOL: return pool_forward(x, y, which, SIZES(k), int(k.window_depth));
        case AVERAGE: return average_forward(x, y, int(k.images), k.pixels(), int(k.channels));
        case DENSE: return dense_forward(x, w.weight, w.bias, y, DENSE_SIZES(k), int(k.with_relu));
        default: return product(x, w.weight, y, k.images * k.channels);
    }
}

int convolution_backward(const Link& k, const float* weight, const float* x, const float* dy, const Gradients& g,
                         float* dx) {
    const bool of_first = k.kind == FIRST_LAYER;
    const int across = int(k.padding) * 2 - 2, down = k.window_depth == 3 ? across : 0;
    const long rows_out = k.images * (k.depth + down) * (k.height + across) * (k.width + across);
    int status = DONE;
    if (dx) status = convolution_backward_input(dy, weight, dx, KERNEL(k));
    if (status == DONE && g.weight)
        status = (of_first ? first_layer_backward : convolution_backward_weights)(x, dy, g.weight, KERNEL(k));
    if (status == DONE && g.bias) status = sum_of_rows(dy, g.bias, rows_out, int(k.channels_out));
    return status;
}

int backward(const Link& k, const float* weight, const float* x, char* memory, const float* y, const float* dy,
             const Gradients& g, float* dx) {
    const float* saved = at<float>(memory, k.saved);
    const uint8_t* which = at<uint8_t>(memory, k.which);
    switch (k.kind) {
        case FIRST_LAYER_POOL:
            return first_layer_pool_backward(x, y, dy, which, g.weight, g.bias, KERNEL(k));
        case NORM:
            return norm_backward(x, y, dy, weight, saved, k.with_relu, dx, g.weight, g.bias, k.rows(),
                                 int(k.channels));
        case NORM_POOL:
            return norm_pool_backward(x, y, dy, which, at<float>(memory, k.largest), weight, saved, dx, g.weight,
                                      g.bias, SIZES(k), int(k.window_depth));
        case POOL: return pool_backward(y, dy, which, dx, SIZES(k), int(k.window_depth));
        case AVERAGE: return average_backward(dy, dx, int(k.images), k.pixels(), int(k.channels));
        case DENSE:
            return dense_backward(x, y, dy, weight, dx, g.weight, g.bias, DENSE_SIZES(k), int(k.with_relu));
        case DROPOUT: return product(dy, weight, dx, k.images * k.channels);
        default: return convolution_backward(k, weight, x, dy, g, dx);
    }
}

}  // namespace

extern "C" {

// y of x; tensors: weights, biases, running means, running variances and numbers of batches of all kernels. What lies
// between them, and what the backward pass needs, is left in the memory.
int chain_forward(const Link* links, int count, void* const* tensors, const float* x, char* memory, float* y) {
    for (int i = 0; i < count; ++i) {
        float* out = i + 1 < count ? at<float>(memory, links[i].output) : y;
        if (const int status = forward(links[i], of(tensors, count, i), x, memory, out)) return status;
        x = out;
    }
    return DONE;
}

// Gradients of weights and biases, and of x where dx is not null. Kernels before the first one need none, and of a
// convolution or dense layer those that are null.
int chain_backward(const Link* links, int count, int first, const float* const* weights, const float* x, char* memory,
                   const float* y, const float* dy, float* const* gradients, float* dx) {
    for (int i = count; i-- > first;) {
        const float* in = i ? at<float>(memory, links[i - 1].output) : x;
        const float* out = i + 1 < count ? at<float>(memory, links[i].output) : y;
        float* d_in = i == 0 && dx ? dx : at<float>(memory, links[i].d_input);
        if (i == first && !dx && links[i].has_weights()) d_in = nullptr;
        const Gradients g{gradients[i], gradients[count + i]};
        if (const int status = backward(links[i], weights[i], in, memory, out, dy, g, d_in)) return status;
        dy = d_in;
    }
    return DONE;
}

// Gradients of all weights and biases by the mean cross-entropy of the outputs, whose places are y and dy in the
// memory; see chain_forward, chain_backward and cross_entropy.
int chain_learn(const Link* links, int count, void* const* tensors, const float* x, char* memory, long y, long dy,
                const int64_t* labels, int classes, double smoothing, float* loss, int64_t* num_right,
                float* const* gradients) {
    const int rows = int(links[0].images);
    float *outputs = at<float>(memory, y), *d_outputs = at<float>(memory, dy);
    for (int r = 0; r < rows; ++r)
        if (labels[r] < 0 || labels[r] >= classes) return OUT_OF_RANGE;  // before anything has changed
    int status = chain_forward(links, count, tensors, x, memory, outputs);
    if (status == DONE) status = cross_entropy(outputs, labels, smoothing, loss, num_right, d_outputs, rows, classes);
    if (status == DONE)
        status = chain_backward(links, count, 0, reinterpret_cast<const float* const*>(tensors), x, memory, outputs,
                                d_outputs, gradients, nullptr);
    return status;
}
}
