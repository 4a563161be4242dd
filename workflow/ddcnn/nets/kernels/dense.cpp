// The small dense layers at the end of a net, ReLU and dropout behind them.

#include "kernels.h"
#include "vector.h"

namespace {

constexpr int WIDE = 16;  // lanes of the outputs, whose number is rounded up to them

// Outputs of R rows; taps (in, wide) are the weights transposed, with zeros at the end of a row.
template <int R>
inline void outputs(const float* x, const float* taps, const float* bias, float* y, int in, int out, int wide,
                    bool with_relu) {
    for (int o = 0; o < wide; o += WIDE) {
        Vec<WIDE> sum[R];
        for (auto& each : sum) each = load<WIDE>(bias + o);
        for (int i = 0; i < in; ++i) {
            const Vec<WIDE> w = load<WIDE>(taps + long(i) * wide + o);
            for (int r = 0; r < R; ++r) sum[r] += x[long(r) * in + i] * w;
        }
        for (int r = 0; r < R; ++r) {
            const Vec<WIDE> found = with_relu ? relu<WIDE>(sum[r]) : sum[r];
            memcpy(y + long(r) * out + o, &found, 4 * (out - o < WIDE ? out - o : WIDE));
        }
    }
}

// dx of R rows: dz (rows, out) times weights (out, in).
template <int L, int R>
inline void input_gradients(const float* dz, const float* weights, float* dx, int in, int out) {
    for (int i = 0; i < in; i += L) {
        Vec<L> sum[R]{};
        for (int o = 0; o < out; ++o) {
            const Vec<L> w = load<L>(weights + long(o) * in + i);
            for (int r = 0; r < R; ++r) sum[r] += dz[long(r) * out + o] * w;
        }
        for (int r = 0; r < R; ++r) store<L>(dx + long(r) * in + i, sum[r]);
    }
}

// Gradients of the weights of R outputs.
template <int L, int R>
inline void weight_gradients(const float* x, const float* dz, float* gradient, int rows, int in, int out) {
    for (int i = 0; i < in; i += L) {
        Vec<L> sum[R]{};
        for (int n = 0; n < rows; ++n) {
            const Vec<L> v = load<L>(x + long(n) * in + i);
            for (int r = 0; r < R; ++r) sum[r] += dz[long(n) * out + r] * v;
        }
        for (int r = 0; r < R; ++r) store<L>(gradient + long(r) * in + i, sum[r]);
    }
}

template <int L>
void gradients(const float* x, const float* dz, const float* weights, float* dx, float* d_weights, int rows, int in,
               int out) {
    constexpr int R = 4;
    int n = 0, o = 0;
    if (dx) {
        for (; n + R <= rows; n += R) input_gradients<L, R>(dz + long(n) * out, weights, dx + long(n) * in, in, out);
        for (; n < rows; ++n) input_gradients<L, 1>(dz + long(n) * out, weights, dx + long(n) * in, in, out);
    }
    if (d_weights) {
        for (; o + R <= out; o += R) weight_gradients<L, R>(x, dz + o, d_weights + long(o) * in, rows, in, out);
        for (; o < out; ++o) weight_gradients<L, 1>(x, dz + o, d_weights + long(o) * in, rows, in, out);
    }
}

}  // namespace

int dense_forward(const float* x, const float* weights, const float* bias, float* y, int rows, int in, int out,
                  int with_relu) {
    const int wide = (out + WIDE - 1) / WIDE * WIDE;
    float *taps = scratch((in + 1L) * wide), *last = taps + long(in) * wide;
    if (!taps) return NO_MEMORY;
    memset(taps, 0, 4 * (in + 1L) * wide);
    for (int o = 0; o < out; ++o)
        for (int i = 0; i < in; ++i) taps[long(i) * wide + o] = weights[long(o) * in + i];
    if (bias) memcpy(last, bias, 4L * out);
    constexpr int R = 8;
    int n = 0;
    for (; n + R <= rows; n += R) outputs<R>(x + long(n) * in, taps, last, y + long(n) * out, in, out, wide, with_relu);
    for (; n < rows; ++n) outputs<1>(x + long(n) * in, taps, last, y + long(n) * out, in, out, wide, with_relu);
    return DONE;
}

int dense_backward(const float* x, const float* y, const float* dy, const float* weights, float* dx, float* d_weights,
                   float* d_bias, int rows, int in, int out, int with_relu) {
    const long size = long(rows) * out;
    const float* dz = dy;
    if (with_relu) {
        float* passed_on = scratch(size);
        if (!passed_on) return NO_MEMORY;
        for (long k = 0; k < size; ++k) passed_on[k] = y[k] <= 0.0f ? 0.0f : dy[k];
        dz = passed_on;
    }
    WITH_LANES(in, gradients<L>(x, dz, weights, dx, d_weights, rows, in, out))
    if (d_bias) {
        memset(d_bias, 0, 4L * out);
        for (int n = 0; n < rows; ++n)
            for (int o = 0; o < out; ++o) d_bias[o] += dz[long(n) * out + o];
    }
    return DONE;
}

int product(const float* x, const float* factors, float* y, long size) {
    for (long k = 0; k < size; ++k) y[k] = x[k] * factors[k];
    return DONE;
}
