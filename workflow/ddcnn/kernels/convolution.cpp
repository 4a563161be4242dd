// Convolutions with a kernel of 3 x 3 or 3 x 3 x 3, stride 1, in the form of Winograd: F(2x2, 3x3) of
// Lavin and Gray (arXiv 1509.09308). A tile of 2 x 2 outputs takes 16 products per pair of channels
// where the definition takes 36. Of volumes the last two axes are transformed, and the slices of the
// first one are summed. Tensors have channels last in memory; the numbers of channels are multiples of 8.
// Where an input is infinite, sums of its neighbours may be no number where the definition gives infinity.

#include "vector.h"

namespace {

constexpr int TILES = 24;  // that go through one matrix product; a multiple of ROWS
constexpr int ROWS = 8;    // of a product that are held in registers
constexpr int AREA = 16;   // of a transformed tile, 4 x 4
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

struct Place {
    int image, row, column;  // of the first of the 2 x 2 outputs
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

// The same for any number of columns that L divides, and of rows that ROWS divides.
template <int L, bool ADD, int COUNT = 0>
void multiply(const Factors& f, long row_step, long k_step, float* C, int rows, int columns, int K) {
    int c = 0;
    for (; c + 2 * L <= columns; c += 2 * L)
        for (int r = 0; r < rows; r += ROWS)
            product<L, ROWS, 2, ADD, COUNT>(f, r * row_step, row_step, k_step, c, columns, C + long(r) * columns + c, columns, K);
    for (; c < columns; c += L)
        for (int r = 0; r < rows; r += ROWS)
            product<L, ROWS, 1, ADD, COUNT>(f, r * row_step, row_step, k_step, c, columns, C + long(r) * columns + c, columns, K);
}

// U = G g G^T of every pair of channels: [depth][16][in][out] from weights out, in, depth, 3, 3.
// For the gradient of the input: mirrored, in and out exchanged.
void transform_weights(const float* weights, float* U, const Shape& s, bool mirrored) {
    for (int out = 0; out < s.channels_out; ++out)
        for (int in = 0; in < s.channels_in; ++in)
            for (int z = 0; z < s.kernel_depth; ++z) {
                const int from = mirrored ? s.kernel_depth - 1 - z : z;
                const float* g = weights + ((long(out) * s.channels_in + in) * s.kernel_depth + from) * 9;
                const long pair = mirrored ? long(out) * s.channels_in + in : long(in) * s.channels_out + out;
                float rows[4][3];
                for (int j = 0; j < 3; ++j) {
                    const float a = g[mirrored ? 8 - j : j], b = g[mirrored ? 5 - j : 3 + j], c = g[mirrored ? 2 - j : 6 + j];
                    rows[0][j] = a, rows[1][j] = 0.5f * (a + b + c), rows[2][j] = 0.5f * (a - b + c), rows[3][j] = c;
                }
                for (int i = 0; i < 4; ++i) {
                    const float a = rows[i][0], b = rows[i][1], c = rows[i][2];
                    float* u = U + (long(z) * AREA + i * 4) * s.pairs() + pair;
                    u[0] = a, u[s.pairs()] = 0.5f * (a + b + c), u[2 * s.pairs()] = 0.5f * (a - b + c), u[3 * s.pairs()] = c;
                }
            }
}

// dg = G^T dU G: gradients of weights from those of transformed weights.
void weights_from_transformed(const float* U, float* gradient, const Shape& s) {
    for (int out = 0; out < s.channels_out; ++out)
        for (int in = 0; in < s.channels_in; ++in)
            for (int z = 0; z < s.kernel_depth; ++z) {
                const float* u = U + long(z) * AREA * s.pairs() + long(in) * s.channels_out + out;
                float rows[3][4];
                for (int j = 0; j < 4; ++j) {
                    const float a = u[j * s.pairs()], b = u[(4 + j) * s.pairs()], c = u[(8 + j) * s.pairs()];
                    rows[0][j] = a + 0.5f * (b + c), rows[1][j] = 0.5f * (b - c);
                    rows[2][j] = 0.5f * (b + c) + u[(12 + j) * s.pairs()];
                }
                float* g = gradient + ((long(out) * s.channels_in + in) * s.kernel_depth + z) * 9;
                for (int i = 0; i < 3; ++i) {
                    const float b = rows[i][1], c = rows[i][2];
                    g[i * 3] = rows[i][0] + 0.5f * (b + c), g[i * 3 + 1] = 0.5f * (b - c);
                    g[i * 3 + 2] = 0.5f * (b + c) + rows[i][3];
                }
            }
}

// B^T d for one column of four rows: the half of the transform that two tiles side by side share.
template <int L>
inline void transform_column(const float* const rows[4], const bool there[4], bool inside, long at, Vec<L> t[4]) {
    Vec<L> d[4];
    for (int i = 0; i < 4; ++i) d[i] = inside && there[i] ? load<L>(rows[i] + at) : Vec<L>{};
    t[0] = d[0] - d[2], t[1] = d[1] + d[2], t[2] = d[2] - d[1], t[3] = d[1] - d[3];
}

// V = B^T d B of the 4 x 4 pixels of tiles side by side, the first at (row, column) of a slice;
// outside of it are zeros.
template <int L>
inline void transform_pixels(const float* slice, float* V, long step, int height, int width, int channels, int row,
                             int column, int tiles) {
    const float* rows[4];
    bool there[4];
    for (int i = 0; i < 4; ++i) {
        there[i] = row + i >= 0 && row + i < height;
        rows[i] = there[i] ? slice + long(row + i) * width * channels : slice;
    }
    for (int c = 0; c < channels; c += L) {
        Vec<L> t[4][4];
        for (int j = 0; j < 2; ++j)
            transform_column<L>(rows, there, column + j >= 0 && column + j < width, long(column + j) * channels + c, t[j]);
        for (int tile = 0; tile < tiles; ++tile) {
            const int x = column + 2 * tile + 2;
            for (int j = 0; j < 2; ++j) transform_column<L>(rows, there, x + j < width, long(x + j) * channels + c, t[2 + j]);
            float* to = V + long(tile) * channels + c;
            for (int i = 0; i < 4; ++i, to += 4 * step) {
                store<L>(to, t[0][i] - t[2][i]), store<L>(to + step, t[1][i] + t[2][i]);
                store<L>(to + 2 * step, t[2][i] - t[1][i]), store<L>(to + 3 * step, t[1][i] - t[3][i]);
                t[0][i] = t[2][i], t[1][i] = t[3][i];
            }
        }
    }
}

// A^T M A + bias: the 2 x 2 outputs of a tile, as far as they lie in the slice.
template <int L>
inline void transform_outputs(const float* M, long step, const float* bias, float* slice, int height, int width,
                              int channels, int row, int column) {
    for (int c = 0; c < channels; c += L) {
        Vec<L> t[2][4];
        for (int j = 0; j < 4; ++j) {
            const Vec<L> q = load<L>(M + (4 + j) * step + c), r = load<L>(M + (8 + j) * step + c);
            t[0][j] = load<L>(M + j * step + c) + q + r, t[1][j] = q - r - load<L>(M + (12 + j) * step + c);
        }
        const Vec<L> b = bias ? load<L>(bias + c) : Vec<L>{};
        for (int i = 0; i < 2 && row + i < height; ++i) {
            float* to = slice + (long(row + i) * width + column) * channels + c;
            store<L>(to, t[i][0] + t[i][1] + t[i][2] + b);
            if (column + 1 < width) store<L>(to + channels, t[i][1] - t[i][2] - t[i][3] + b);
        }
    }
}

// Z = A dy A^T: the gradients of 2 x 2 outputs.
template <int L>
inline void transform_gradients(const float* slice, const float* zeros, float* Z, long step, int height, int width,
                                int channels, int row, int column) {
    const float* at[2][2];
    for (int i = 0; i < 2; ++i)
        for (int j = 0; j < 2; ++j) {
            const bool inside = row + i < height && column + j < width;
            at[i][j] = inside ? slice + (long(row + i) * width + column + j) * channels : zeros;
        }
    for (int c = 0; c < channels; c += L) {
        Vec<L> t[4][2];
        for (int j = 0; j < 2; ++j) {
            const Vec<L> p = load<L>(at[0][j] + c), q = load<L>(at[1][j] + c);
            t[0][j] = p, t[1][j] = p + q, t[2][j] = p - q, t[3][j] = -q;
        }
        for (int i = 0; i < 4; ++i) {
            float* to = Z + i * 4 * step + c;
            store<L>(to, t[i][0]), store<L>(to + step, t[i][0] + t[i][1]);
            store<L>(to + 2 * step, t[i][0] - t[i][1]), store<L>(to + 3 * step, -t[i][1]);
        }
    }
}

// Runs through all tiles in groups, and for each group through the slices along the first axis.
// Transformed pixels V of as many slices are kept as the kernel is deep.
template <int LI, typename EachSlice>
void over_tiles(const float* x, const Shape& s, float* V, long V_step, EachSlice each) {
    const int across = (s.width_out() + 1) / 2, down = (s.height_out() + 1) / 2;
    const long tiles = long(s.images) * down * across, plane = long(s.height) * s.width * s.channels_in;
    for (long first = 0; first < tiles; first += TILES) {
        Place places[TILES];
        const int count = tiles - first < TILES ? int(tiles - first) : TILES;
        for (int t = 0; t < count; ++t) {
            const long tile = first + t;
            places[t] = {int(tile / (down * across)), int(tile / across % down) * 2, int(tile % across) * 2};
        }
        int next = 0;  // slice of the input that has not been transformed
        for (int z = 0; z < s.depth_out(); ++z) {
            const int start = z - s.depth_padding();
            for (; next < s.depth && next < start + s.kernel_depth; ++next)
                for (int t = 0, side; t < count; t += side) {
                    const Place& p = places[t];
                    side = (s.width_out() - p.column + 1) / 2;
                    if (side > count - t) side = count - t;
                    transform_pixels<LI>(x + (long(p.image) * s.depth + next) * plane,
                                         V + next % s.kernel_depth * AREA * V_step + t * s.channels_in, V_step, s.height,
                                         s.width, s.channels_in, p.row - s.padding, p.column - s.padding, side);
                }
            each(places, count, z, start);
        }
    }
}

template <int LI, int LO>
void convolve(const float* x, const float* U, const float* bias, float* y, const Shape& s, float* V) {
    const long V_step = TILES * s.channels_in + GAP, M_step = TILES * s.channels_out + GAP;
    float* M = V + s.kernel_depth * AREA * V_step;
    memset(V, 0, 4 * s.kernel_depth * AREA * V_step);  // rows of the last group that no tile fills
    const long plane = long(s.height_out()) * s.width_out() * s.channels_out;
    over_tiles<LI>(x, s, V, V_step, [&](const Place* places, int count, int z, int start) {
        const int rows = (count + ROWS - 1) / ROWS * ROWS;
        for (int p = 0; p < AREA; ++p) {
            Factors f;
            for (int k = 0; k < s.kernel_depth; ++k)
                if (start + k >= 0 && start + k < s.depth)
                    f.add(V + ((start + k) % s.kernel_depth * AREA + p) * V_step, U + (long(k) * AREA + p) * s.pairs());
            const auto run = f.count == 1 ? multiply<LO, false, 1> : multiply<LO, false>;
            run(f, s.channels_in, 1, M + p * M_step, rows, s.channels_out, s.channels_in);
        }
        for (int t = 0; t < count; ++t)
            transform_outputs<LO>(M + t * s.channels_out, M_step, bias,
                                  y + (long(places[t].image) * s.depth_out() + z) * plane, s.height_out(),
                                  s.width_out(), s.channels_out, places[t].row, places[t].column);
    });
}

template <int LI, int LO>
void correlate(const float* x, const float* dy, float* U, const Shape& s, float* V) {
    const long V_step = TILES * s.channels_in + GAP, Z_step = TILES * s.channels_out + GAP;
    float *Z = V + s.kernel_depth * AREA * V_step, *zeros = Z + AREA * Z_step;
    memset(U, 0, 4 * s.kernel_depth * AREA * s.pairs());
    memset(zeros, 0, 4 * s.channels_out);
    const long plane = long(s.height_out()) * s.width_out() * s.channels_out;
    over_tiles<LI>(x, s, V, V_step, [&](const Place* places, int count, int z, int start) {
        for (int t = 0; t < count; ++t)
            transform_gradients<LO>(dy + (long(places[t].image) * s.depth_out() + z) * plane, zeros,
                                    Z + t * s.channels_out, Z_step, s.height_out(), s.width_out(), s.channels_out,
                                    places[t].row, places[t].column);
        for (int k = 0; k < s.kernel_depth; ++k) {
            if (start + k < 0 || start + k >= s.depth) continue;
            for (int p = 0; p < AREA; ++p) {
                Factors f;
                f.add(V + ((start + k) % s.kernel_depth * AREA + p) * V_step, Z + p * Z_step);
                multiply<LO, true, 1>(f, 1, s.channels_in, U + (long(k) * AREA + p) * s.pairs(), s.channels_in, s.channels_out, count);
            }
        }
    });
}

long working_memory(const Shape& s) {
    const long of_tiles = AREA * (s.kernel_depth * (TILES * s.channels_in + GAP) + TILES * s.channels_out + GAP);
    return s.kernel_depth * AREA * s.pairs() + of_tiles + s.channels_out + GAP;
}

// Vectors of 16 where the channels fill them.
#define FOR_LANES(function, in, out, ...)                               \
    if (in % 16 == 0 && out % 16 == 0) function<16, 16>(__VA_ARGS__);   \
    else if (in % 16 == 0) function<16, 8>(__VA_ARGS__);                \
    else if (out % 16 == 0) function<8, 16>(__VA_ARGS__);               \
    else function<8, 8>(__VA_ARGS__)

}  // namespace

extern "C" {

// y (images, depth, height, width of the output, out) of x (images, depth, height, width, in), weights
// (out, in, kernel depth, 3, 3) and bias (out) or null. Of images depth and kernel depth are 1.
int convolution_forward(const float* x, const float* weights, const float* bias, float* y, int images, int depth,
                         int height, int width, int in, int out, int kernel_depth, int padding) {
    const Shape s{images, depth, height, width, in, out, kernel_depth, padding};
    float* U = scratch(working_memory(s));
    if (!U) return NO_MEMORY;
    transform_weights(weights, U, s, false);
    FOR_LANES(convolve, in, out, x, U, bias, y, s, U + kernel_depth * AREA * s.pairs());
    return DONE;
}

// The gradient of x; sizes as in convolution_forward.
int convolution_backward_input(const float* dy, const float* weights, float* dx, int images, int depth, int height,
                                int width, int in, int out, int kernel_depth, int padding) {
    const Shape s{images, depth, height, width, in, out, kernel_depth, padding};
    const Shape t = s.backward();
    float* U = scratch(working_memory(t));
    if (!U) return NO_MEMORY;
    transform_weights(weights, U, s, true);
    FOR_LANES(convolve, out, in, dy, U, nullptr, dx, t, U + kernel_depth * AREA * s.pairs());
    return DONE;
}

// The gradient of weights; sizes as in convolution_forward.
int convolution_backward_weights(const float* x, const float* dy, float* gradient, int images, int depth, int height,
                                  int width, int in, int out, int kernel_depth, int padding) {
    const Shape s{images, depth, height, width, in, out, kernel_depth, padding};
    float* U = scratch(working_memory(s));
    if (!U) return NO_MEMORY;
    FOR_LANES(correlate, in, out, x, dy, U, s, U + kernel_depth * AREA * s.pairs());
    weights_from_transformed(U, gradient, s);
    return DONE;
}
}
