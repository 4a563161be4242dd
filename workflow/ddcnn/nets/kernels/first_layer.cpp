// The convolution of the first layer, 3 x 3 or 3 x 3 x 3 with one to three channels of input, by its
// definition: every pixel of a padded copy is multiplied with a vector of weights. Images and
// volumes have channels last; the channels of the output are a multiple of 4.

#include "kernels.h"
#include "pooling.h"

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

// Calls each(number of the tap, of L channels, first of a row; where the rows of a window's pixels begin there).
template <int ROWS, typename Each>
inline void over_rows_of_taps(const float* padded, const Shape& s, Each each) {
    long tap = 0;
    for (int z = 0; z < s.kernel_depth; ++z)
        for (int i = 0; i < 3; ++i, tap += 3L * s.in * s.out) {
            const float* rows[ROWS];
            for (int r = 0; r < ROWS; ++r)
                rows[r] = padded + (long(z + (r >> 1)) * s.padded_height() + i + (r & 1)) * s.padded_row();
            each(tap, rows);
        }
}

// For the two pixels of each row of a window: calls each(number of the pixel, tap of the row, value it meets).
template <int IN, int ROWS, typename Each>
__attribute__((always_inline)) inline void over_pixels(const float* const (&rows)[ROWS], Each each) {
#pragma GCC unroll 4
    for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 12
        for (int k = 0; k < 4 * IN; ++k) {
            const float value = rows[r][k];
            if (k < 3 * IN) each(2 * r, k, value);
            if (k >= IN) each(2 * r + 1, k - IN, value);
        }
}

// Calls each(padded copy at the window, number of the window's first output) row by row, and after_row.
template <typename Each, typename AfterRow>
void over_padded(const float* x, const Shape& s, const Windows& w, float* padded, Each each, AfterRow after_row) {
    long window = 0;
    for (int image = 0; image < s.images; ++image) {
        pad(x + long(image) * s.depth * s.height * s.width * s.in, padded, s);
        for (int z = 0; z < w.count(); ++z)
            for (int i = 0; i < w.down(); ++i) {
                const float* row = padded + (long(z) * w.slices * s.padded_height() + 2 * i) * s.padded_row();
                for (int j = 0; j < w.across(); ++j, window += s.out) each(row + 2L * j * s.in, window);
                after_row();
            }
    }
}

// ROWS: of pixels in a window, two in each; IN: channels of the input.
template <int L, int ROWS, int IN>
void pooled(const float* x, const float* taps, const float* bias, float* y, uint8_t* which, const Shape& s,
            const Windows& w, float* padded) {
    over_padded(x, s, w, padded, [&](const float* from, long window) {
        for (int c = 0; c < s.out; c += L) {
            Vec<L> sum[2 * ROWS];
            for (Vec<L>& each : sum) each = bias ? load<L>(bias + c) : Vec<L>{};
            over_rows_of_taps<ROWS>(from, s, [&](long tap, const float* const (&rows)[ROWS]) {
                Vec<L> weights[3 * IN];
                for (int k = 0; k < 3 * IN; ++k) weights[k] = load<L>(taps + tap + k * s.out + c);
                over_pixels<IN, ROWS>(rows, [&](int pixel, int k, float value) { sum[pixel] += value * weights[k]; });
            });
            const auto found = largest_of<L, 0, 2 * ROWS>(sum);
            store<L>(y + window + c, relu<L>(found.value));
            if (which) store_bytes<L>(which + window + c, found.at);
        }
    }, [] {});
}

#ifdef __AVX512VL__
// Four rows of four values, of which each of L lanes chooses one (0 to 15).
struct Sixteen {
    __m256 low, high;

    explicit Sixteen(const float* const (&rows)[4]) : low(two(rows[0], rows[1])), high(two(rows[2], rows[3])) {}
    static __m256 two(const float* first, const float* second) {
        return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(first)), _mm_loadu_ps(second), 1);
    }
    template <int L>
    Vec<L> choose(Int<L> which) const {
        if constexpr (L == 16) {
            const __m512 all = _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1);
            return Vec<L>(_mm512_permutexvar_ps(__m512i(which), all));
        } else if constexpr (L == 8) {
            return Vec<L>(_mm256_permutex2var_ps(low, __m256i(which), high));
        } else {
            const __m256i wide = _mm256_castsi128_si256(__m128i(which));
            return Vec<L>(_mm256_castps256_ps128(_mm256_permutex2var_ps(low, wide, high)));
        }
    }
};
#endif

// Adds to sums: gradients of the taps of L channels by windows of 2 ROWS pixels, of which only pixel `at` has one, dz.
template <int L, int ROWS, int IN>
inline void add_gradients(const float* padded, Int<L> at, Vec<L> dz, float* sums, const Shape& s) {
#ifdef __AVX512VL__
    if constexpr (ROWS == 4 && IN == 1) {
        const Int<L> first = (at >> 1) * 4 + (at & 1);  // of the values of four rows
        over_rows_of_taps<ROWS>(padded, s, [&](long tap, const float* const (&rows)[ROWS]) {
            const Sixteen values(rows);
            for (int k = 0; k < 3; ++k) {
                float* sum = sums + tap + k * s.out;
                store<L>(sum, load<L>(sum) + values.choose<L>(first + k) * dz);
            }
        });
        return;
    }
#endif
    Vec<L> mine[2 * ROWS];
    for (int pixel = 0; pixel < 2 * ROWS; ++pixel) mine[pixel] = at == pixel ? dz : Vec<L>{};
    over_rows_of_taps<ROWS>(padded, s, [&](long tap, const float* const (&rows)[ROWS]) {
        Vec<L> sum[3 * IN];
        for (int k = 0; k < 3 * IN; ++k) sum[k] = load<L>(sums + tap + k * s.out);
        over_pixels<IN, ROWS>(rows, [&](int pixel, int k, float value) { sum[k] += value * mine[pixel]; });
        for (int k = 0; k < 3 * IN; ++k) store<L>(sums + tap + k * s.out, sum[k]);
    });
}

// Adds to total: gradients of all taps, then of the bias.
template <int L, int ROWS, int IN>
void pooled_gradients(const float* x, const float* y, const float* dy, const uint8_t* which, float* sums, double* total,
                      const Shape& s, const Windows& w, float* padded) {
    constexpr int ROWS_OF_WINDOWS = 32;  // that are summed in float32
    const long taps = long(s.taps()) * s.out, size = taps + s.out;
    memset(sums, 0, 4 * size);
    int summed = 0;
    auto add = [&] {
        for (long t = 0; t < size; ++t) total[t] += sums[t];
        memset(sums, 0, 4 * size);
        summed = 0;
    };
    over_padded(x, s, w, padded, [&](const float* from, long window) {
        for (int c = 0; c < s.out; c += L) {
            const Vec<L> dz = passed<L>(load<L>(y + window + c), load<L>(dy + window + c));
            add_gradients<L, ROWS, IN>(from, load_bytes<L>(which + window + c), dz, sums + c, s);
            store<L>(sums + taps + c, load<L>(sums + taps + c) + dz);
        }
    }, [&] { if (++summed == ROWS_OF_WINDOWS) add(); });
    add();
}

Windows windows_of(const Shape& s) {
    return {s.images, s.depth_out(), s.height_out(), s.width_out(), s.out, s.kernel_depth == 3 ? 2 : 1};
}

// The function for channels and windows of these sizes.
#define FOR_SIZES(function, ...)                                                    \
    WITH_LANES(s.out, (w.slices == 1 ? (s.in == 1   ? function<L, 2, 1>             \
                                        : s.in == 2 ? function<L, 2, 2>             \
                                                    : function<L, 2, 3>)            \
                                     : (s.in == 1   ? function<L, 4, 1>             \
                                        : s.in == 2 ? function<L, 4, 2>             \
                                                    : function<L, 4, 3>))(__VA_ARGS__))

}  // namespace

int first_layer_forward(const float* x, const float* weights, const float* bias, float* y, int images, int depth,
                         int height, int width, int in, int out, int kernel_depth, int padding) {
    const Shape s{images, depth, height, width, in, out, kernel_depth, padding};
    float *taps = scratch(long(s.taps()) * out + s.padded()), *padded = taps + long(s.taps()) * out;
    if (!taps) return NO_MEMORY;
    memset(padded, 0, 4 * s.padded());
    over_weights(s, [&](long theirs, long ours) { taps[ours] = weights[theirs]; });
    WITH_LANES(out, forward<L>(x, taps, bias, y, s, padded))
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
    WITH_LANES(out, backward<L>(x, dy, taps, total, s, padded))
    over_weights(s, [&](long theirs, long ours) { gradient[theirs] = float(total[ours]); });
    return DONE;
}

int first_layer_pool_forward(const float* x, const float* weights, const float* bias, float* y, uint8_t* which,
                             int images, int depth, int height, int width, int in, int out, int kernel_depth,
                             int padding) {
    const Shape s{images, depth, height, width, in, out, kernel_depth, padding};
    float *taps = scratch(long(s.taps()) * out + s.padded()), *padded = taps + long(s.taps()) * out;
    if (!taps) return NO_MEMORY;
    memset(padded, 0, 4 * s.padded());
    over_weights(s, [&](long theirs, long ours) { taps[ours] = weights[theirs]; });
    const Windows w = windows_of(s);
    FOR_SIZES(pooled, x, taps, bias, y, which, s, w, padded)
    return DONE;
}

int first_layer_pool_backward(const float* x, const float* y, const float* dy, const uint8_t* which, float* d_weights,
                              float* d_bias, int images, int depth, int height, int width, int in, int out,
                              int kernel_depth, int padding) {
    const Shape s{images, depth, height, width, in, out, kernel_depth, padding};
    const long size = long(s.taps()) * out + out;
    float *sums = scratch(3 * size + s.padded()), *padded = sums + 3 * size;
    if (!sums) return NO_MEMORY;
    double* total = reinterpret_cast<double*>(sums + size);
    memset(total, 0, 8 * size), memset(padded, 0, 4 * s.padded());
    const Windows w = windows_of(s);
    FOR_SIZES(pooled_gradients, x, y, dy, which, sums, total, s, w, padded)
    if (d_weights) over_weights(s, [&](long theirs, long ours) { d_weights[theirs] = float(total[ours]); });
    if (d_bias)
        for (int c = 0; c < out; ++c) d_bias[c] = float(total[size - out + c]);
    return DONE;
}
