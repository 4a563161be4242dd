// Sums over rows and means over pixels, of tensors with channels last; channels are a multiple of 4.

#include "kernels.h"
#include "vector.h"

namespace {

constexpr int L = 4, BLOCK = 256;  // rows that are summed in float32

// Calls each(first channel, sums of L channels in float64).
template <typename Each>
void over_sums(const float* x, long rows, int channels, Each each) {
    for (int c = 0; c < channels; c += L) {
        double total[L] = {};
        for (long first = 0; first < rows; first += BLOCK) {
            const int count = rows - first < BLOCK ? int(rows - first) : BLOCK;
            Vec<L> sum[4] = {};
            for (int r = 0; r < count; ++r) sum[r & 3] += load<L>(x + (first + r) * channels + c);
            for (int l = 0; l < L; ++l) total[l] += sum[0][l] + sum[1][l] + sum[2][l] + sum[3][l];
        }
        each(c, total);
    }
}

}  // namespace

int sum_of_rows(const float* x, float* sums, long rows, int channels) {
    over_sums(x, rows, channels, [&](int c, const double* total) {
        for (int l = 0; l < L; ++l) sums[c + l] = float(total[l]);
    });
    return DONE;
}

int average_forward(const float* x, float* y, int images, long pixels, int channels) {
    for (int image = 0; image < images; ++image, x += pixels * channels, y += channels)
        over_sums(x, pixels, channels, [&](int c, const double* total) {
            for (int l = 0; l < L; ++l) y[c + l] = float(total[l] / double(pixels));
        });
    return DONE;
}

int average_backward(const float* dy, float* dx, int images, long pixels, int channels) {
    const float share = 1.0f / float(pixels);
    for (int image = 0; image < images; ++image, dy += channels)
        for (long pixel = 0; pixel < pixels; ++pixel, dx += channels)
            for (int c = 0; c < channels; c += L) store<L>(dx + c, load<L>(dy + c) * share);
    return DONE;
}
