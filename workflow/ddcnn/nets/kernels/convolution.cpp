// Convolutions with a kernel of 3 x 3 or 3 x 3 x 3, stride 1, in the form of Winograd (Lavin and Gray, arXiv
// 1509.09308): F(2x2, 3x3) takes 16 products per pair of channels for 2 x 2 outputs where the definition takes
// 36, F(3x3, 3x3) 25 for 3 x 3 outputs where it takes 81. Of volumes the last two axes are transformed, and the
// slices of the first one are summed. Tensors have channels last in memory; the numbers of channels are
// multiples of 4. Where an input is infinite, sums of its neighbours may be no number where the definition gives
// infinity.

#include "kernels.h"
#include "vector.h"

namespace {

constexpr int TILES = 24;  // that go through one matrix product; a multiple of ROWS
constexpr int ROWS = 8;    // of a product that are held in registers
constexpr int DEEPEST = 3;  // kernel
// Between matrices, so that not all of them fall into the same lines of the cache.
constexpr int GAP = 16;

struct Shape {
    int images, depth, height, width, channels_in, channels_out, kernel_depth, padding;

    int depth_padding() const { return kernel_depth == 3 ? padding : 0; }
    int depth_out() const { return depth + 2 * depth_padding() - kernel_depth + 1; }
    int height_out() const { return height + 2 * padding - 2; }
    int width_out() const { return width + 2 * padding - 2; }
    long pairs() const { return long(channels_in) * channels_out; }
    // The convolution that takes gradients of outputs to those of inputs.
    Shape backward() const {
        return {images, depth_out(), height_out(), width_out(), channels_out, channels_in, kernel_depth, 2 - padding};
    }
};

// The transforms of tiles of M x M outputs, which see SIDE x SIDE pixels: outputs are A^T [(G g G^T) (B^T d B)] A,
// with the product taken element by element. Interpolated at 0, 1, -1 (and 2) and infinity.
template <int M>
struct Winograd;

template <>
struct Winograd<2> {
    static constexpr int SIDE = 4;
    static constexpr float BT[4][4] = {{1, 0, -1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, 1, 0, -1}};
    static constexpr float G[4][3] = {{1, 0, 0}, {0.5f, 0.5f, 0.5f}, {0.5f, -0.5f, 0.5f}, {0, 0, 1}};
    static constexpr float AT[2][4] = {{1, 1, 1, 0}, {0, 1, -1, -1}};
};

template <>
struct Winograd<3> {
    static constexpr int SIDE = 5;
    static constexpr float BT[5][5] = {
        {2, -1, -2, 1, 0}, {0, -2, -1, 1, 0}, {0, 2, -3, 1, 0}, {0, -1, 0, 1, 0}, {0, 2, -1, -2, 1}};
    static constexpr float G[5][3] = {{1 / 2.f, 0, 0},
                                      {-1 / 2.f, -1 / 2.f, -1 / 2.f},
                                      {-1 / 6.f, 1 / 6.f, -1 / 6.f},
                                      {1 / 6.f, 1 / 3.f, 2 / 3.f},
                                      {0, 0, 1}};
    static constexpr float AT[3][5] = {{1, 1, 1, 1, 0}, {0, 1, -1, 2, 0}, {0, 1, 1, 4, 1}};
};

// Sum over k of factor(k) value(k), for N known factors: those of 0 cost nothing, those of 1 an addition.
template <int N, typename Factor, typename Value>
__attribute__((always_inline)) inline auto combine(Factor factor, Value value) {
    decltype(value(0)) sum{};
#pragma GCC unroll 5
    for (int k = 0; k < N; ++k) {
        if (factor(k) == 1) sum += value(k);
        else if (factor(k) == -1) sum -= value(k);
        else if (factor(k) != 0) sum += factor(k) * value(k);
    }
    return sum;
}

constexpr int MIXED = 4;  // lanes where channels are a multiple of 4 only: the longest vectors, as long as they fill

// Calls each(number of lanes, first channel) for all channels.
template <int L, typename Each>
__attribute__((always_inline)) inline void over_channels(int channels, Each each) {
    int c = 0;
    if constexpr (L == MIXED) {
        for (; c + 16 <= channels; c += 16) each(Lanes<16>(), c);
        if (c + 8 <= channels) each(Lanes<8>(), c), c += 8;
        if (c < channels) each(Lanes<4>(), c);
    } else {
        for (; c < channels; c += L) each(Lanes<L>(), c);
    }
}

struct Place {
    int image, row, column;  // of the first output of a tile
};

// Factors of a sum of matrix products.
struct Factors {
    const float* A[DEEPEST];
    const float* B[DEEPEST];
    int count = 0;

    void add(const float* a, const float* b) {
        A[count] = a, B[count] = b;
        ++count;
    }
};

// C[r][v] (+)= sum over factors and k of A[r][k] B[k][v], for R rows and N vectors of columns.
// Called so often that a call of its own would take a third of its time. COUNT: of factors, 0 for any.
template <int L, int R, int N, bool ADD, int COUNT>
__attribute__((always_inline)) inline void product(const Factors& f, long A_at, long row_step, long k_step, long B_at,
                                                   long B_step, float* C, long C_step, int K) {
    Vec<L> sum[R][N];
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < N; ++v) sum[r][v] = ADD ? load<L>(C + r * C_step + v * L) : Vec<L>{};
    for (int i = 0; i < (COUNT ? COUNT : f.count); ++i) {
        const float *A = f.A[i] + A_at, *B = f.B[i] + B_at;
        for (int k = 0; k < K; ++k) {
            Vec<L> b[N];
            for (int v = 0; v < N; ++v) b[v] = load<L>(B + k * B_step + v * L);
            for (int r = 0; r < R; ++r) {
                const float a = A[r * row_step + k * k_step];
                for (int v = 0; v < N; ++v) sum[r][v] += a * b[v];
            }
        }
    }
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < N; ++v) store<L>(C + r * C_step + v * L, sum[r][v]);
}

// The same from one column on, for any number of rows that R divides.
template <int L, int R, int N, bool ADD, int COUNT>
__attribute__((always_inline)) inline void products(const Factors& f, long row_step, long k_step, float* C, int rows,
                                                    int column, int columns, int K) {
    for (int r = 0; r < rows; r += R)
        product<L, R, N, ADD, COUNT>(f, r * row_step, row_step, k_step, column, columns, C + long(r) * columns + column,
                                     columns, K);
}

// The same for any number of columns that L divides.
template <int L, int R, bool ADD, int COUNT = 0>
void multiply(const Factors& f, long row_step, long k_step, float* C, int rows, int columns, int K) {
    constexpr int LONGEST = L == MIXED ? 16 : L;
    int c = 0;
    for (; c + 2 * LONGEST <= columns; c += 2 * LONGEST)
        products<LONGEST, R, 2, ADD, COUNT>(f, row_step, k_step, C, rows, c, columns, K);
    over_channels<L>(columns - c, [&](auto lanes, int further) {
        products<lanes.number, R, 1, ADD, COUNT>(f, row_step, k_step, C, rows, c + further, columns, K);
    });
}

// For each of L neighbouring pairs of channels in U, [in][out] or mirrored [out][in], the place of its
// weights in (out, in, depth, 3, 3).
template <int L>
inline void places_of_weights(const Shape& s, long pair, int z, bool mirrored, long* places) {
    for (int l = 0; l < L; ++l) {
        const long first = (pair + l) / (mirrored ? s.channels_in : s.channels_out);
        const long second = (pair + l) % (mirrored ? s.channels_in : s.channels_out);
        const long out = mirrored ? first : second, in = mirrored ? second : first;
        places[l] = ((out * s.channels_in + in) * s.kernel_depth + z) * 9;
    }
}

// U = G g G^T of every pair of channels: [depth][SIDE x SIDE][in][out] from weights out, in, depth, 3, 3.
// For the gradient of the input: mirrored, in and out exchanged.
template <int M>
void transform_weights(const float* weights, float* U, const Shape& s, bool mirrored) {
    using W = Winograd<M>;
    constexpr int SIDE = W::SIDE, L = 8;
    for (int z = 0; z < s.kernel_depth; ++z, U += SIDE * SIDE * s.pairs())
        for (long pair = 0; pair < s.pairs(); pair += L) {
            long places[L];
            places_of_weights<L>(s, pair, mirrored ? s.kernel_depth - 1 - z : z, mirrored, places);
            Vec<L> g[9], rows[SIDE][3];
            for (int k = 0; k < 9; ++k)
                for (int l = 0; l < L; ++l) g[k][l] = weights[places[l] + (mirrored ? 8 - k : k)];
#pragma GCC unroll 5
            for (int i = 0; i < SIDE; ++i)
#pragma GCC unroll 3
                for (int j = 0; j < 3; ++j)
                    rows[i][j] = combine<3>([&](int k) { return W::G[i][k]; }, [&](int k) { return g[3 * k + j]; });
            float* to = U + pair;
#pragma GCC unroll 5
            for (int i = 0; i < SIDE; ++i)
#pragma GCC unroll 5
                for (int j = 0; j < SIDE; ++j, to += s.pairs())
                    store<L>(to, combine<3>([&](int k) { return W::G[j][k]; }, [&](int k) { return rows[i][k]; }));
        }
}

// dg = G^T dU G: gradients of weights from those of transformed weights.
template <int M>
void weights_from_transformed(const float* U, float* gradient, const Shape& s) {
    using W = Winograd<M>;
    constexpr int SIDE = W::SIDE, L = 8;
    for (int z = 0; z < s.kernel_depth; ++z, U += SIDE * SIDE * s.pairs())
        for (long pair = 0; pair < s.pairs(); pair += L) {
            long places[L];
            places_of_weights<L>(s, pair, z, false, places);
            Vec<L> rows[3][SIDE];
#pragma GCC unroll 5
            for (int j = 0; j < SIDE; ++j)
#pragma GCC unroll 3
                for (int i = 0; i < 3; ++i)
                    rows[i][j] = combine<SIDE>([&](int k) { return W::G[k][i]; },
                                               [&](int k) { return load<L>(U + (k * SIDE + j) * s.pairs() + pair); });
#pragma GCC unroll 3
            for (int i = 0; i < 3; ++i)
#pragma GCC unroll 3
                for (int j = 0; j < 3; ++j) {
                    const Vec<L> g = combine<SIDE>([&](int k) { return W::G[k][j]; }, [&](int k) { return rows[i][k]; });
                    for (int l = 0; l < L; ++l) gradient[places[l] + 3 * i + j] = g[l];
                }
        }
}

// B^T d for one column of SIDE rows: the half of the transform that two tiles side by side share.
template <int L, int M>
__attribute__((always_inline)) inline void transform_column(const float* const* rows, const bool* there, bool inside,
                                                            long at, Vec<L>* t) {
    using W = Winograd<M>;
    Vec<L> d[W::SIDE];
    for (int i = 0; i < W::SIDE; ++i) d[i] = inside && there[i] ? load<L>(rows[i] + at) : Vec<L>{};
#pragma GCC unroll 5
    for (int i = 0; i < W::SIDE; ++i)
        t[i] = combine<W::SIDE>([&](int k) { return W::BT[i][k]; }, [&](int k) { return d[k]; });
}

// V = B^T d B of the pixels of tiles side by side, the first at (row, column) of a slice; outside of
// it are zeros.
template <int LANES, int M>
inline void transform_pixels(const float* slice, float* V, long step, int height, int width, int channels, int row,
                             int column, int tiles) {
    using W = Winograd<M>;
    constexpr int SIDE = W::SIDE, SHARED = SIDE - M;
    const float* rows[SIDE];
    bool there[SIDE];
    for (int i = 0; i < SIDE; ++i) {
        there[i] = row + i >= 0 && row + i < height;
        rows[i] = there[i] ? slice + long(row + i) * width * channels : slice;
    }
    over_channels<LANES>(channels, [&](auto lanes, int c) {
        constexpr int L = lanes.number;
        Vec<L> t[SIDE][SIDE];
        for (int j = 0; j < SHARED; ++j)
            transform_column<L, M>(rows, there, column + j >= 0 && column + j < width, long(column + j) * channels + c, t[j]);
        for (int tile = 0; tile < tiles; ++tile) {
            const int x = column + M * tile;
            for (int j = SHARED; j < SIDE; ++j)
                transform_column<L, M>(rows, there, x + j >= 0 && x + j < width, long(x + j) * channels + c, t[j]);
            float* to = V + long(tile) * channels + c;
#pragma GCC unroll 5
            for (int i = 0; i < SIDE; ++i)
#pragma GCC unroll 5
                for (int j = 0; j < SIDE; ++j, to += step)
                    store<L>(to, combine<SIDE>([&](int k) { return W::BT[j][k]; }, [&](int k) { return t[k][i]; }));
            for (int j = 0; j < SHARED; ++j)
                for (int i = 0; i < SIDE; ++i) t[j][i] = t[M + j][i];
        }
    });
}

// A^T M A + bias: the outputs of a tile, as far as they lie in the slice.
template <int LANES, int M>
inline void transform_outputs(const float* products, long step, const float* bias, float* slice, int height, int width,
                              int channels, int row, int column) {
    using W = Winograd<M>;
    constexpr int SIDE = W::SIDE;
    over_channels<LANES>(channels, [&](auto lanes, int c) {
        constexpr int L = lanes.number;
        Vec<L> t[M][SIDE];
#pragma GCC unroll 5
        for (int j = 0; j < SIDE; ++j)
#pragma GCC unroll 3
            for (int i = 0; i < M; ++i)
                t[i][j] = combine<SIDE>([&](int k) { return W::AT[i][k]; },
                                        [&](int k) { return load<L>(products + (k * SIDE + j) * step + c); });
        const Vec<L> b = bias ? load<L>(bias + c) : Vec<L>{};
#pragma GCC unroll 3
        for (int i = 0; i < M; ++i) {
            if (row + i >= height) break;
            float* to = slice + (long(row + i) * width + column) * channels + c;
#pragma GCC unroll 3
            for (int j = 0; j < M; ++j)
                if (column + j < width)
                    store<L>(to + j * channels,
                             combine<SIDE>([&](int k) { return W::AT[j][k]; }, [&](int k) { return t[i][k]; }) + b);
        }
    });
}

// Z = A dy A^T: the gradients of the outputs of a tile.
template <int LANES, int M>
inline void transform_gradients(const float* slice, const float* zeros, float* Z, long step, int height, int width,
                                int channels, int row, int column) {
    using W = Winograd<M>;
    constexpr int SIDE = W::SIDE;
    const float* at[M][M];
    for (int i = 0; i < M; ++i)
        for (int j = 0; j < M; ++j) {
            const bool inside = row + i < height && column + j < width;
            at[i][j] = inside ? slice + (long(row + i) * width + column + j) * channels : zeros;
        }
    over_channels<LANES>(channels, [&](auto lanes, int c) {
        constexpr int L = lanes.number;
        Vec<L> t[SIDE][M];
#pragma GCC unroll 3
        for (int j = 0; j < M; ++j)
#pragma GCC unroll 5
            for (int i = 0; i < SIDE; ++i)
                t[i][j] = combine<M>([&](int k) { return W::AT[k][i]; }, [&](int k) { return load<L>(at[k][j] + c); });
        float* to = Z + c;
#pragma GCC unroll 5
        for (int i = 0; i < SIDE; ++i)
#pragma GCC unroll 5
            for (int j = 0; j < SIDE; ++j, to += step)
                store<L>(to, combine<M>([&](int k) { return W::AT[k][j]; }, [&](int k) { return t[i][k]; }));
    });
}

// Runs through all tiles in groups, and for each group through the slices along the first axis.
// Transformed pixels V of as many slices are kept as the kernel is deep.
template <int L, int M, typename EachSlice>
void over_tiles(const float* x, const Shape& s, float* V, long V_step, EachSlice each) {
    constexpr int AREA = Winograd<M>::SIDE * Winograd<M>::SIDE;
    const int across = (s.width_out() + M - 1) / M, down = (s.height_out() + M - 1) / M;
    const long tiles = long(s.images) * down * across, plane = long(s.height) * s.width * s.channels_in;
    for (long first = 0; first < tiles; first += TILES) {
        Place places[TILES];
        const int count = tiles - first < TILES ? int(tiles - first) : TILES;
        for (int t = 0; t < count; ++t) {
            const long tile = first + t;
            places[t] = {int(tile / (down * across)), int(tile / across % down) * M, int(tile % across) * M};
        }
        int next = 0;  // slice of the input that has not been transformed
        for (int z = 0; z < s.depth_out(); ++z) {
            const int start = z - s.depth_padding();
            for (; next < s.depth && next < start + s.kernel_depth; ++next)
                for (int t = 0, side; t < count; t += side) {
                    const Place& p = places[t];
                    side = (s.width_out() - p.column + M - 1) / M;
                    if (side > count - t) side = count - t;
                    transform_pixels<L, M>(x + (long(p.image) * s.depth + next) * plane,
                                         V + next % s.kernel_depth * AREA * V_step + t * s.channels_in, V_step, s.height,
                                         s.width, s.channels_in, p.row - s.padding, p.column - s.padding, side);
                }
            each(places, count, z, start);
        }
    }
}

template <int LI, int LO, int M>
void convolve(const float* x, const float* U, const float* bias, float* y, const Shape& s, float* V) {
    constexpr int AREA = Winograd<M>::SIDE * Winograd<M>::SIDE;
    const long V_step = TILES * s.channels_in + GAP, P_step = TILES * s.channels_out + GAP;
    float* products = V + s.kernel_depth * AREA * V_step;
    memset(V, 0, 4 * s.kernel_depth * AREA * V_step);  // rows of the last group that no tile fills
    const long plane = long(s.height_out()) * s.width_out() * s.channels_out;
    over_tiles<LI, M>(x, s, V, V_step, [&](const Place* places, int count, int z, int start) {
        const int rows = (count + ROWS - 1) / ROWS * ROWS;
        for (int p = 0; p < AREA; ++p) {
            Factors f;
            for (int k = 0; k < s.kernel_depth; ++k)
                if (start + k >= 0 && start + k < s.depth)
                    f.add(V + ((start + k) % s.kernel_depth * AREA + p) * V_step, U + (long(k) * AREA + p) * s.pairs());
            const auto run = f.count == 1 ? multiply<LO, ROWS, false, 1> : multiply<LO, ROWS, false>;
            run(f, s.channels_in, 1, products + p * P_step, rows, s.channels_out, s.channels_in);
        }
        for (int t = 0; t < count; ++t)
            transform_outputs<LO, M>(products + t * s.channels_out, P_step, bias,
                                  y + (long(places[t].image) * s.depth_out() + z) * plane, s.height_out(),
                                  s.width_out(), s.channels_out, places[t].row, places[t].column);
    });
}

template <int LI, int LO, int M>
void correlate(const float* x, const float* dy, float* U, const Shape& s, float* V) {
    constexpr int AREA = Winograd<M>::SIDE * Winograd<M>::SIDE;
    const long V_step = TILES * s.channels_in + GAP, Z_step = TILES * s.channels_out + GAP;
    float *Z = V + s.kernel_depth * AREA * V_step, *zeros = Z + AREA * Z_step;
    memset(U, 0, 4 * s.kernel_depth * AREA * s.pairs());
    memset(zeros, 0, 4 * s.channels_out);
    const long plane = long(s.height_out()) * s.width_out() * s.channels_out;
    over_tiles<LI, M>(x, s, V, V_step, [&](const Place* places, int count, int z, int start) {
        for (int t = 0; t < count; ++t)
            transform_gradients<LO, M>(dy + (long(places[t].image) * s.depth_out() + z) * plane, zeros,
                                    Z + t * s.channels_out, Z_step, s.height_out(), s.width_out(), s.channels_out,
                                    places[t].row, places[t].column);
        for (int k = 0; k < s.kernel_depth; ++k) {
            if (start + k < 0 || start + k >= s.depth) continue;
            for (int p = 0; p < AREA; ++p) {
                Factors f;
                f.add(V + ((start + k) % s.kernel_depth * AREA + p) * V_step, Z + p * Z_step);
                multiply<LO, LI == MIXED ? 4 : ROWS, true, 1>(f, 1, s.channels_in, U + (long(k) * AREA + p) * s.pairs(), s.channels_in, s.channels_out, count);
            }
        }
    });
}

// How many numbers of working memory, the first of them transformed weights.
template <int M>
long transformed(const Shape& s) {
    return s.kernel_depth * Winograd<M>::SIDE * Winograd<M>::SIDE * s.pairs();
}

template <int M>
long working_memory(const Shape& s) {
    constexpr int AREA = Winograd<M>::SIDE * Winograd<M>::SIDE;
    const long of_tiles = AREA * (s.kernel_depth * (TILES * s.channels_in + GAP) + TILES * s.channels_out + GAP);
    return transformed<M>(s) + of_tiles + s.channels_out + GAP;
}

// Tiles of three for the maps that tiles of two cover badly; elsewhere these are the more exact ones.
int side_of_tiles(const Shape& s) {
    auto products = [&](int m) { return long(m + 2) * (m + 2) * ((s.height_out() + m - 1) / m) * ((s.width_out() + m - 1) / m); };
    return products(2) > 1.4 * products(3) ? 3 : 2;
}

// The longest vectors that channels fill.
#define FOR_LANES(function, M, in, out, ...)                                  \
    if (in % 8 || out % 8) function<MIXED, MIXED, M>(__VA_ARGS__);                     \
    else if (in % 16 == 0 && out % 16 == 0) function<16, 16, M>(__VA_ARGS__);  \
    else if (in % 16 == 0) function<16, 8, M>(__VA_ARGS__);                    \
    else if (out % 16 == 0) function<8, 16, M>(__VA_ARGS__);                   \
    else function<8, 8, M>(__VA_ARGS__)

template <int M>
int outputs(const float* x, const float* weights, const float* bias, float* y, const Shape& s, const Shape& weighted) {
    float* U = scratch(working_memory<M>(s));
    if (!U) return NO_MEMORY;
    transform_weights<M>(weights, U, weighted, &s != &weighted);
    FOR_LANES(convolve, M, s.channels_in, s.channels_out, x, U, bias, y, s, U + transformed<M>(s));
    return DONE;
}

template <int M>
int weight_gradients(const float* x, const float* dy, float* gradient, const Shape& s) {
    float* U = scratch(working_memory<M>(s));
    if (!U) return NO_MEMORY;
    FOR_LANES(correlate, M, s.channels_in, s.channels_out, x, dy, U, s, U + transformed<M>(s));
    weights_from_transformed<M>(U, gradient, s);
    return DONE;
}

}  // namespace

int convolution_forward(const float* x, const float* weights, const float* bias, float* y, int images, int depth,
                        int height, int width, int in, int out, int kernel_depth, int padding) {
    const Shape s{images, depth, height, width, in, out, kernel_depth, padding};
    return (side_of_tiles(s) == 3 ? outputs<3> : outputs<2>)(x, weights, bias, y, s, s);
}

int convolution_backward_input(const float* dy, const float* weights, float* dx, int images, int depth, int height,
                               int width, int in, int out, int kernel_depth, int padding) {
    const Shape s{images, depth, height, width, in, out, kernel_depth, padding}, back = s.backward();
    return (side_of_tiles(back) == 3 ? outputs<3> : outputs<2>)(dy, weights, nullptr, dx, back, s);
}

int convolution_backward_weights(const float* x, const float* dy, float* gradient, int images, int depth, int height,
                                 int width, int in, int out, int kernel_depth, int padding) {
    const Shape s{images, depth, height, width, in, out, kernel_depth, padding};
    return (side_of_tiles(s) == 3 ? weight_gradients<3> : weight_gradients<2>)(x, dy, gradient, s);
}
