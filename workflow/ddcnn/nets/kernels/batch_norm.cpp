// Batch norm (Ioffe and Szegedy, arXiv 1502.03167) over the channels of rows, with what follows it: ReLU,
// or a maximum over windows of two pixels along every axis and ReLU. So what a layer computes is
// written once, and what lies before the maximum not at all. Channels are a multiple of 4.

#include <cmath>

#include "kernels.h"
#include "pooling.h"

namespace {

constexpr int BLOCK = 64;  // rows that are summed in float32, and stay in the first cache meanwhile

// Means and sums of squared differences of each channel, merged block by block in float64
// (Chan, Golub and LeVeque, 1979): no cancellation where the mean is large.
template <int L>
void moments(const float* x, long rows, int channels, double* mean, double* squares) {
    for (int c = 0; c < channels; ++c) mean[c] = squares[c] = 0;
    for (long first = 0; first < rows; first += BLOCK) {
        const int count = rows - first < BLOCK ? int(rows - first) : BLOCK;
        const double all = double(first + count), share = count / all;
        for (int c = 0; c < channels; c += L) {
            const float* from = x + first * channels + c;
            Vec<L> sum[4] = {};
            for (int r = 0; r < count; ++r) sum[r & 3] += load<L>(from + long(r) * channels);
            const Vec<L> center = (sum[0] + sum[1] + sum[2] + sum[3]) / float(count);
            Vec<L> spread[4] = {};
            for (int r = 0; r < count; ++r) {
                const Vec<L> d = load<L>(from + long(r) * channels) - center;
                spread[r & 3] += d * d;
            }
            const Vec<L> within = spread[0] + spread[1] + spread[2] + spread[3];
            for (int l = 0; l < L; ++l) {
                const double apart = center[l] - mean[c + l];
                squares[c + l] += within[l] + apart * apart * (first * share);
                mean[c + l] += apart * share;
            }
        }
    }
}

// Scale and shift of every channel.
struct Affine {
    float *scale, *shift;
};

template <int L>
void normalise(const float* x, float* y, long rows, int channels, const Affine& a, bool with_relu) {
    for (long r = 0; r < rows; ++r)
        for (int c = 0; c < channels; c += L) {
            const Vec<L> z = load<L>(x + r * channels + c) * load<L>(a.scale + c) + load<L>(a.shift + c);
            store<L>(y + r * channels + c, with_relu ? relu<L>(z) : z);
        }
}

// Sums of dz and of dz (x - mean), where dz is dy after the ReLU's mask.
template <int L>
void sums_of_gradients(const float* x, const float* y, const float* dy, const float* mean, long rows, int channels,
                       bool with_relu, double* plain, double* weighted) {
    for (int c = 0; c < channels; ++c) plain[c] = weighted[c] = 0;
    for (long first = 0; first < rows; first += BLOCK) {
        const int count = rows - first < BLOCK ? int(rows - first) : BLOCK;
        for (int c = 0; c < channels; c += L) {
            const Vec<L> m = load<L>(mean + c);
            Vec<L> p[4] = {}, w[4] = {};
            for (int r = 0; r < count; ++r) {
                const long at = (first + r) * channels + c;
                Vec<L> dz = load<L>(dy + at);
                if (with_relu) dz = passed<L>(load<L>(y + at), dz);
                p[r & 3] += dz, w[r & 3] += dz * (load<L>(x + at) - m);
            }
            const Vec<L> ps = p[0] + p[1] + p[2] + p[3], ws = w[0] + w[1] + w[2] + w[3];
            for (int l = 0; l < L; ++l) plain[c + l] += ps[l], weighted[c + l] += ws[l];
        }
    }
}

// dx = factor dz - constant - slope (x - mean), per channel.
struct Backward {
    float *factor, *constant, *slope;
};

template <int L>
inline Vec<L> gradient(const Backward& b, Vec<L> dz, Vec<L> x, const float* mean, int c) {
    return load<L>(b.factor + c) * dz - load<L>(b.constant + c) - load<L>(b.slope + c) * (x - load<L>(mean + c));
}

template <int L>
void gradients(const float* x, const float* y, const float* dy, const float* mean, float* dx, long rows, int channels,
               bool with_relu, const Backward& b) {
    for (long r = 0; r < rows; ++r)
        for (int c = 0; c < channels; c += L) {
            const long at = r * channels + c;
            Vec<L> dz = load<L>(dy + at);
            if (with_relu) dz = passed<L>(load<L>(y + at), dz);
            store<L>(dx + at, gradient<L>(b, dz, load<L>(x + at), mean, c));
        }
}

// y = ReLU of the largest of a window; which: the first that is as large; largest: it before the
// affine map. which and largest are null where no gradient will be asked for.
template <int L>
void pool(const float* x, float* y, uint8_t* which, float* largest, const Windows& w, const Affine* a) {
    const long row = long(w.width) * w.channels, slice = row * w.height;
    over_windows(w, [&](long pixel, long window) {
        for (int c = 0; c < w.channels; c += L) {
            Largest<L> found;
            Vec<L> before{};
            for (int k = 0; k < 4 * w.slices; ++k) {
                const Vec<L> v = load<L>(x + pixel + (k >> 2) * slice + (k >> 1 & 1) * row + (k & 1) * w.channels + c);
                const Vec<L> z = a ? v * load<L>(a->scale + c) + load<L>(a->shift + c) : v;
                before = found.offer(k, z) ? v : before;
            }
            store<L>(y + window + c, relu<L>(found.value));
            if (which) store_bytes<L>(which + window + c, found.at);
            if (largest) store<L>(largest + window + c, before);
        }
    });
}

// dx of every pixel; with b of the batch norm before, else of the maximum and ReLU alone.
template <int L>
void pool_gradients(const float* x, const float* y, const float* dy, const uint8_t* which, const float* mean, float* dx,
                    const Windows& w, const Backward* b) {
    const long row = long(w.width) * w.channels, slice = row * w.height;
    auto outside = [&](long at) {
        for (int c = 0; c < w.channels; c += L)
            store<L>(dx + at + c, b ? gradient<L>(*b, Vec<L>{}, load<L>(x + at + c), mean, c) : Vec<L>{});
    };
    for (int image = 0; image < w.images; ++image)
        for (int z = 0; z < w.depth; ++z) {
            const bool below = z >= w.count() * w.slices;
            for (int r = 0; r < w.height; ++r)
                for (int c = below || r >= 2 * w.down() ? 0 : 2 * w.across(); c < w.width; ++c) outside(w.pixel(image, z, r, c));
        }
    over_windows(w, [&](long pixel, long window) {
        for (int c = 0; c < w.channels; c += L) {
            const Vec<L> dz = passed<L>(load<L>(y + window + c), load<L>(dy + window + c));
            const Int<L> at = load_bytes<L>(which + window + c);
            for (int k = 0; k < 4 * w.slices; ++k) {
                const long p = pixel + (k >> 2) * slice + (k >> 1 & 1) * row + (k & 1) * w.channels + c;
                const Vec<L> mine = at == k ? dz : Vec<L>{};
                store<L>(dx + p, b ? gradient<L>(*b, mine, load<L>(x + p), mean, c) : mine);
            }
        }
    });
}

struct Norm {
    const float *weight, *bias;        // per channel
    float *running_mean, *running_var;  // of the data seen so far
    float momentum, epsilon;
};

// Statistics of the batch, running ones, and the affine map that batch norm is. saved: mean and
// 1 / standard deviation, for the backward pass.
template <int L>
Affine affine(const float* x, const Norm& n, long rows, int channels, bool training, float* saved, float* memory) {
    float *scale = memory, *shift = memory + channels;
    double* mean = reinterpret_cast<double*>(memory + 2 * channels);
    double* squares = mean + channels;
    if (training) moments<L>(x, rows, channels, mean, squares);
    for (int c = 0; c < channels; ++c) {
        if (training) {
            // Beyond float32 a training has diverged: it shall see that in its loss.
            const double variance = std::isfinite(squares[c]) ? squares[c] / rows : NAN;
            const auto follow = [&](float& running, double now) {
                running = float((1.0 - n.momentum) * running + n.momentum * now);
            };
            follow(n.running_mean[c], mean[c]), follow(n.running_var[c], squares[c] / (rows - 1));
            saved[c] = float(mean[c]), saved[channels + c] = float(1 / std::sqrt(variance + n.epsilon));
        } else {
            saved[c] = n.running_mean[c], saved[channels + c] = 1 / std::sqrt(n.running_var[c] + n.epsilon);
        }
        scale[c] = saved[channels + c] * n.weight[c], shift[c] = n.bias[c] - saved[c] * scale[c];
    }
    return {scale, shift};
}

// Gradients of weight and bias, and the coefficients of dx, from the two sums.
Backward coefficients(const double* plain, const double* weighted, const float* weight, const float* saved, long rows,
                      int channels, float* d_weight, float* d_bias, float* memory) {
    const Backward b{memory, memory + channels, memory + 2 * channels};
    for (int c = 0; c < channels; ++c) {
        const double inverse = saved[channels + c], factor = weight[c] * inverse;
        d_weight[c] = float(weighted[c] * inverse), d_bias[c] = float(plain[c]);
        b.factor[c] = float(factor), b.constant[c] = float(factor * plain[c] / rows);
        b.slope[c] = float(factor * inverse * inverse * weighted[c] / rows);
    }
    return b;
}

float* memory_of(int channels) { return scratch(8L * channels); }

}  // namespace

int norm_forward(const float* x, const float* weight, const float* bias, float* running_mean, float* running_var,
                  float momentum, float epsilon, int training, int with_relu, float* y, float* saved, long rows,
                  int channels) {
    const Norm n{weight, bias, running_mean, running_var, momentum, epsilon};
    if (!memory_of(channels)) return NO_MEMORY;
    WITH_LANES(channels, normalise<L>(x, y, rows, channels, affine<L>(x, n, rows, channels, training, saved, memory_of(channels)),
                           with_relu))
    return DONE;
}

int norm_backward(const float* x, const float* y, const float* dy, const float* weight, const float* saved,
                   int with_relu, float* dx, float* d_weight, float* d_bias, long rows, int channels) {
    float* memory = memory_of(channels);
    if (!memory) return NO_MEMORY;
    double *plain = reinterpret_cast<double*>(memory + 4 * channels), *weighted = plain + channels;
    WITH_LANES(channels, sums_of_gradients<L>(x, y, dy, saved, rows, channels, with_relu, plain, weighted);
              const Backward b = coefficients(plain, weighted, weight, saved, rows, channels, d_weight, d_bias, memory);
              gradients<L>(x, y, dy, saved, dx, rows, channels, with_relu, b))
    return DONE;
}

int norm_pool_forward(const float* x, const float* weight, const float* bias, float* running_mean, float* running_var,
                       float momentum, float epsilon, int training, float* y, uint8_t* which, float* largest,
                       float* saved, int images, int depth, int height, int width, int channels, int slices) {
    const Norm n{weight, bias, running_mean, running_var, momentum, epsilon};
    const Windows w{images, depth, height, width, channels, slices};
    const long rows = long(images) * depth * height * width;
    if (!memory_of(channels)) return NO_MEMORY;
    WITH_LANES(channels, const Affine a = affine<L>(x, n, rows, channels, training, saved, memory_of(channels));
              pool<L>(x, y, which, largest, w, &a))
    return DONE;
}

int norm_pool_backward(const float* x, const float* y, const float* dy, const uint8_t* which, const float* largest,
                        const float* weight, const float* saved, float* dx, float* d_weight, float* d_bias, int images,
                        int depth, int height, int width, int channels, int slices) {
    const Windows w{images, depth, height, width, channels, slices};
    const long rows = long(images) * depth * height * width;
    const long windows = long(images) * w.count() * w.down() * w.across();
    float* memory = memory_of(channels);
    if (!memory) return NO_MEMORY;
    double *plain = reinterpret_cast<double*>(memory + 4 * channels), *weighted = plain + channels;
    // Only the largest of a window has a gradient before the norm, so the sums are over windows.
    WITH_LANES(channels, sums_of_gradients<L>(largest, y, dy, saved, windows, channels, true, plain, weighted);
              const Backward b = coefficients(plain, weighted, weight, saved, rows, channels, d_weight, d_bias, memory);
              pool_gradients<L>(x, y, dy, which, saved, dx, w, &b))
    return DONE;
}

int pool_forward(const float* x, float* y, uint8_t* which, int images, int depth, int height, int width, int channels,
                  int slices) {
    const Windows w{images, depth, height, width, channels, slices};
    WITH_LANES(channels, pool<L>(x, y, which, nullptr, w, nullptr))
    return DONE;
}

int pool_backward(const float* y, const float* dy, const uint8_t* which, float* dx, int images, int depth, int height,
                   int width, int channels, int slices) {
    const Windows w{images, depth, height, width, channels, slices};
    WITH_LANES(channels, pool_gradients<L>(nullptr, y, dy, which, nullptr, dx, w, nullptr))
    return DONE;
}
