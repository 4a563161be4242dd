// The convolution of the first layer, 3 x 3 or 3 x 3 x 3 with one to three channels of input, by its
// definition: every pixel of a padded copy is multiplied with a vector of weights. Images and
// volumes have channels last; the channels of the output are a multiple of 8.

#include "kernels.h"
#include "vector.h"

namespace {

struct Shape {
    int images, depth, height, width, in, out, kernel_depth, padding;

    int depth_padding() const { return kernel_depth == 3 ? padding : 0; }
    int padded_depth() const { return depth + 2 * depth_padding(); }
    int padded_height() const { return height + 2 * padding; }
    long padded_row() const { return long(width + 2 * padding) * in; }
    long padded() const { return padded_depth() * padded_height() * padded_row(); }
    int depth_out() const { return padded_depth() - kernel_depth + 1; }
    int height_out() const { return padded_height() - 2; }
    int width_out() const { return width + 2 * padding - 2; }
    int taps() const { return kernel_depth * 9 * in; }
};

// Into a volume whose border is zero already.
void pad(const float* image, float* padded, const Shape& s) {
    for (int z = 0; z < s.depth; ++z)
        for (int y = 0; y < s.height; ++y)
            memcpy(padded + ((z + s.depth_padding()) * s.padded_height() + y + s.padding) * s.padded_row() + s.padding * s.in,
                   image + (long(z) * s.height + y) * s.width * s.in, 4L * s.width * s.in);
}

// Between weights (out, in, kernel depth, 3, 3) and (kernel depth, 3, 3, in, out).
template <typename Move>
void over_weights(const Shape& s, Move move) {
    for (int out = 0; out < s.out; ++out)
        for (int in = 0; in < s.in; ++in)
            for (int k = 0; k < s.kernel_depth * 9; ++k)
                move((long(out) * s.in + in) * s.kernel_depth * 9 + k, (long(k) * s.in + in) * s.out + out);
}

// R pixels of a row, all channels of the output from `out` to out + L N.
template <int L, int R, int N>
inline void outputs(const float* padded, const float* taps, const float* bias, float* y, const Shape& s) {
    Vec<L> sum[R][N];
    for (int v = 0; v < N; ++v) {
        const Vec<L> b = bias ? load<L>(bias + v * L) : Vec<L>{};
        for (int r = 0; r < R; ++r) sum[r][v] = b;
    }
    for (int z = 0; z < s.kernel_depth; ++z)
        for (int i = 0; i < 3; ++i) {
            const float* from = padded + (long(z) * s.padded_height() + i) * s.padded_row();
            for (int k = 0; k < 3 * s.in; ++k, taps += s.out)
                for (int v = 0; v < N; ++v) {
                    const Vec<L> w = load<L>(taps + v * L);
                    for (int r = 0; r < R; ++r) sum[r][v] += from[r * s.in + k] * w;
                }
        }
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < N; ++v) store<L>(y + long(r) * s.out + v * L, sum[r][v]);
}

template <int L, int N>
void row_of_outputs(const float* padded, const float* taps, const float* bias, float* y, const Shape& s) {
    int x = 0;
    for (; x + 8 <= s.width_out(); x += 8) outputs<L, 8, N>(padded + x * s.in, taps, bias, y + long(x) * s.out, s);
    for (; x + 2 <= s.width_out(); x += 2) outputs<L, 2, N>(padded + x * s.in, taps, bias, y + long(x) * s.out, s);
    for (; x < s.width_out(); ++x) outputs<L, 1, N>(padded + x * s.in, taps, bias, y + long(x) * s.out, s);
}

template <int L>
void forward(const float* x, const float* taps, const float* bias, float* y, const Shape& s, float* padded) {
    const long row = long(s.width_out()) * s.out;
    for (int image = 0; image < s.images; ++image) {
        pad(x + long(image) * s.depth * s.height * s.width * s.in, padded, s);
        for (int z = 0; z < s.depth_out(); ++z)
            for (int i = 0; i < s.height_out(); ++i, y += row) {
                const float* from = padded + (long(z) * s.padded_height() + i) * s.padded_row();
                int c = 0;
                for (; c + 2 * L <= s.out; c += 2 * L) row_of_outputs<L, 2>(from, taps + c, bias ? bias + c : bias, y + c, s);
                for (; c < s.out; c += L) row_of_outputs<L, 1>(from, taps + c, bias ? bias + c : bias, y + c, s);
            }
    }
}

// Gradients of the taps of one slice of the kernel, 3 x T of them, in registers along a row.
template <int L, int T>
inline void row_of_gradients(const float* padded, const float* dy, float* taps, int in, const Shape& s) {
    Vec<L> sum[3][T];
    for (int i = 0; i < 3; ++i)
        for (int k = 0; k < T; ++k) sum[i][k] = load<L>(taps + (i * T + k) * s.out);
    for (int x = 0; x < s.width_out(); ++x) {
        const Vec<L> g = load<L>(dy + long(x) * s.out);
        for (int i = 0; i < 3; ++i)
            for (int k = 0; k < T; ++k) sum[i][k] += padded[i * s.padded_row() + x * in + k] * g;
    }
    for (int i = 0; i < 3; ++i)
        for (int k = 0; k < T; ++k) store<L>(taps + (i * T + k) * s.out, sum[i][k]);
}

template <int L>
void backward(const float* x, const float* dy, float* taps, double* total, const Shape& s, float* padded) {
    constexpr int ROWS = 64;  // that are summed in float32
    const long row = long(s.width_out()) * s.out, slice = 9L * s.in * s.out, size = long(s.taps()) * s.out;
    memset(taps, 0, 4 * size);
    int summed = 0;
    auto add = [&] {
        for (long t = 0; t < size; ++t) total[t] += taps[t];
        memset(taps, 0, 4 * size);
        summed = 0;
    };
    for (int image = 0; image < s.images; ++image) {
        pad(x + long(image) * s.depth * s.height * s.width * s.in, padded, s);
        for (int z = 0; z < s.depth_out(); ++z)
            for (int i = 0; i < s.height_out(); ++i, dy += row) {
                for (int k = 0; k < s.kernel_depth; ++k)
                    for (int c = 0; c < s.out; c += L) {
                        const float* from = padded + (long(z + k) * s.padded_height() + i) * s.padded_row();
                        if (s.in == 1) row_of_gradients<L, 3>(from, dy + c, taps + k * slice + c, 1, s);
                        if (s.in == 2) row_of_gradients<L, 6>(from, dy + c, taps + k * slice + c, 2, s);
                        if (s.in == 3) row_of_gradients<L, 9>(from, dy + c, taps + k * slice + c, 3, s);
                    }
                if (++summed == ROWS) add();
            }
    }
    add();
}

}  // namespace

int first_layer_forward(const float* x, const float* weights, const float* bias, float* y, int images, int depth,
                         int height, int width, int in, int out, int kernel_depth, int padding) {
    const Shape s{images, depth, height, width, in, out, kernel_depth, padding};
    float *taps = scratch(long(s.taps()) * out + s.padded()), *padded = taps + long(s.taps()) * out;
    if (!taps) return NO_MEMORY;
    memset(padded, 0, 4 * s.padded());
    over_weights(s, [&](long theirs, long ours) { taps[ours] = weights[theirs]; });
    if (out % 16 == 0) forward<16>(x, taps, bias, y, s, padded);
    else forward<8>(x, taps, bias, y, s, padded);
    return DONE;
}

int first_layer_backward(const float* x, const float* dy, float* gradient, int images, int depth, int height, int width,
                          int in, int out, int kernel_depth, int padding) {
    const Shape s{images, depth, height, width, in, out, kernel_depth, padding};
    const long size = long(s.taps()) * out;
    float *taps = scratch(3 * size + s.padded()), *padded = taps + 3 * size;
    if (!taps) return NO_MEMORY;
    double* total = reinterpret_cast<double*>(taps + size);
    memset(total, 0, 8 * size), memset(padded, 0, 4 * s.padded());
    if (out % 16 == 0) backward<16>(x, dy, taps, total, s, padded);
    else backward<8>(x, dy, taps, total, s, padded);
    over_weights(s, [&](long theirs, long ours) { gradient[theirs] = float(total[ours]); });
    return DONE;
}
