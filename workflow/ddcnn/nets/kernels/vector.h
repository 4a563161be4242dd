// Vectors of L float32 lanes, as GCC and Clang know them; and working memory.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

template <int L>
struct Lanes {
    static constexpr int number = L;
    typedef float Float __attribute__((vector_size(4 * L), aligned(4), may_alias));
    typedef int32_t Int __attribute__((vector_size(4 * L)));
};
template <int L> using Vec = typename Lanes<L>::Float;
template <int L> using Int = typename Lanes<L>::Int;

template <int L> inline Vec<L> load(const float* from) { return *reinterpret_cast<const Vec<L>*>(from); }
template <int L> inline void store(float* to, Vec<L> v) { *reinterpret_cast<Vec<L>*>(to) = v; }

// Between numbers and bytes, which compilers would convert one by one.
template <int L> inline Int<L> load_bytes(const uint8_t* from) {
    if constexpr (L == 4) {
        int32_t four;
        memcpy(&four, from, 4);
        return Int<L>(_mm_cvtepu8_epi32(_mm_cvtsi32_si128(four)));
    } else if constexpr (L == 8) {
        return Int<L>(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))));
    } else {
#ifdef __AVX512F__
        return Int<L>(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
#else
        Int<L> v;
        const Int<8> halves[2] = {load_bytes<8>(from), load_bytes<8>(from + 8)};
        memcpy(&v, halves, sizeof v);
        return v;
#endif
    }
}

template <int L> inline void store_bytes(uint8_t* to, Int<L> v) {
#ifdef __AVX512VL__
    __m128i bytes;
    if constexpr (L == 4) bytes = _mm_cvtepi32_epi8(__m128i(v));
    if constexpr (L == 8) bytes = _mm256_cvtepi32_epi8(__m256i(v));
    if constexpr (L == 16) bytes = _mm512_cvtepi32_epi8(__m512i(v));
    memcpy(to, &bytes, L);
#else
    __m128i fours[L / 4];
    memcpy(fours, &v, sizeof v);
    for (int k = 0; k < L; k += 4) {
        const __m128i words = _mm_packs_epi32(fours[k / 4], fours[k / 4]);
        const int32_t four = _mm_cvtsi128_si32(_mm_packus_epi16(words, words));
        memcpy(to + k, &four, 4);
    }
#endif
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
