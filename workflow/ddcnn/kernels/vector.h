// Vectors of L float32 lanes, as GCC and Clang know them on every processor; and working memory.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>

template <int L>
struct Lanes {
    static constexpr int number = L;
    typedef float Float __attribute__((vector_size(4 * L), aligned(4), may_alias));
    typedef int32_t Int __attribute__((vector_size(4 * L)));
    typedef uint8_t Byte __attribute__((vector_size(L), aligned(1), may_alias));
};
template <int L> using Vec = typename Lanes<L>::Float;
template <int L> using Int = typename Lanes<L>::Int;

template <int L> inline Vec<L> load(const float* from) { return *reinterpret_cast<const Vec<L>*>(from); }
template <int L> inline void store(float* to, Vec<L> v) { *reinterpret_cast<Vec<L>*>(to) = v; }

template <int L> inline Int<L> load_bytes(const uint8_t* from) {
    return __builtin_convertvector(*reinterpret_cast<const typename Lanes<L>::Byte*>(from), Int<L>);
}
template <int L> inline void store_bytes(uint8_t* to, Int<L> v) {
    *reinterpret_cast<typename Lanes<L>::Byte*>(to) = __builtin_convertvector(v, typename Lanes<L>::Byte);
}

// The statements with L, the lanes of the longest vectors that channels (a multiple of 4) fill.
#define WITH_LANES(channels, ...)                                              \
    if ((channels) % 16 == 0) { constexpr int L = 16; __VA_ARGS__; }           \
    else if ((channels) % 8 == 0) { constexpr int L = 8; __VA_ARGS__; }        \
    else { constexpr int L = 4; __VA_ARGS__; }

// A negative number is 0, and what is no number stays what it is.
template <int L> inline Vec<L> relu(Vec<L> v) { return v < 0.0f ? Vec<L>{} : v; }

// Working memory of a thread, kept from call to call; null where there is no more.
namespace {
struct Memory {
    float* start = nullptr;
    long held = 0;
    ~Memory() { free(start); }
};

inline float* scratch(long floats) {
    static thread_local Memory memory;
    if (floats > memory.held) {
        free(memory.start);
        memory.start = static_cast<float*>(aligned_alloc(64, (floats * 4 + 63) / 64 * 64));
        memory.held = memory.start ? floats : 0;
    }
    return memory.start;
}
}  // namespace
