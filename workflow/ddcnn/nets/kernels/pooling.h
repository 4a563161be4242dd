// The maximum over windows of two pixels along every axis, and ReLU.
#pragma once

#include "vector.h"

namespace {

// The gradient before a ReLU with outputs y; where they are no numbers it is not hidden.
template <int L>
inline Vec<L> passed(Vec<L> y, Vec<L> dy) { return y <= 0.0f ? Vec<L>{} : dy; }

// Windows of 1 or 2 slices, 2 rows and 2 columns; what is left over at the ends is in no window.
struct Windows {
    int images, depth, height, width, channels, slices;

    int down() const { return height / 2; }
    int across() const { return width / 2; }
    int count() const { return depth / slices; }
    long pixel(int image, int z, int y, int x) const {
        return (((long(image) * depth + z) * height + y) * width + x) * channels;
    }
    long window(int image, int z, int y, int x) const {
        return (((long(image) * count() + z) * down() + y) * across() + x) * channels;
    }
};

template <typename Each>
void over_windows(const Windows& w, Each each) {
    for (int image = 0; image < w.images; ++image)
        for (int z = 0; z < w.count(); ++z)
            for (int y = 0; y < w.down(); ++y)
                for (int x = 0; x < w.across(); ++x)
                    each(w.pixel(image, z * w.slices, 2 * y, 2 * x), w.window(image, z, y, x));
}

// Whether a pixel is larger than those before it: of equal ones the first stays. What is no number wins, as in torch:
// nobody shall miss it.
template <int L>
inline Int<L> is_larger(Vec<L> v, Vec<L> before) { return (v > before) | (v != v); }

// The largest of the pixels of a window, for L channels, and its number.
template <int L>
struct Largest {
    Vec<L> value{};
    Int<L> at{};

    // Pixels in their order. Where the new one is the largest so far.
    Int<L> offer(int pixel, Vec<L> v) {
        const Int<L> larger = pixel ? is_larger<L>(v, value) : Int<L>{} - 1;
        value = larger ? v : value, at = larger ? Int<L>{} + pixel : at;
        return larger;
    }
};

// The same of pixels FIRST to LAST - 1, in pairs: so many comparisons need not wait for each other.
template <int L, int FIRST, int LAST>
inline Largest<L> largest_of(const Vec<L>* pixels) {
    if constexpr (LAST - FIRST == 1) {
        return {pixels[FIRST], Int<L>{} + FIRST};
    } else {
        const auto a = largest_of<L, FIRST, (FIRST + LAST) / 2>(pixels), b = largest_of<L, (FIRST + LAST) / 2, LAST>(pixels);
        const Int<L> later = is_larger<L>(b.value, a.value);
        return {later ? b.value : a.value, later ? b.at : a.at};
    }
}

}  // namespace
