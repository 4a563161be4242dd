// Batches of images as floats.

#include "kernels.h"
#include "vector.h"

extern "C" {

// x (count, size) of the images index (count) of pixels (images, size), the channel last: value times scale, plus
// offset, of its channel. Rounded twice, as by a multiplication and an addition.
int gather_images(const uint8_t* pixels, const int64_t* index, const float* scale, const float* offset, float* x,
                  long images, int count, long size, int channels) {
    constexpr int L = 8;
    const long period = long(L) * channels;  // after which lanes meet the same channels again
    float *scales = scratch(2 * period), *offsets = scales + period;
    if (!scales) return NO_MEMORY;
    for (long k = 0; k < period; ++k) scales[k] = scale[k % channels], offsets[k] = offset[k % channels];
    for (int n = 0; n < count; ++n, x += size) {
        if (index[n] < 0 || index[n] >= images) return OUT_OF_RANGE;
        const uint8_t* from = pixels + index[n] * size;
        long k = 0;
        for (; k + period <= size; k += period)
            for (long c = 0; c < period; c += L) {
                Vec<L> v = __builtin_convertvector(load_bytes<L>(from + k + c), Vec<L>) * load<L>(scales + c);
                asm("" : "+v"(v));  // else the two would be one, rounded once
                store<L>(x + k + c, v + load<L>(offsets + c));
            }
        for (long c = 0; k < size; ++k, ++c) {
            float v = float(from[k]) * scales[c];
            asm("" : "+v"(v));
            x[k] = v + offsets[c];
        }
    }
    return DONE;
}
}
