// Cross-entropy of logits (rows, classes), its gradient, and how many rows are decided rightly.

#include <cmath>

#include "kernels.h"

int cross_entropy(const float* logits, const int64_t* labels, double smoothing, float* loss, int64_t* num_right,
                  float* gradient, int rows, int classes) {
    const double elsewhere = smoothing / classes;
    double total = 0;
    int64_t right = 0;
    for (int r = 0; r < rows; ++r, logits += classes, gradient += classes) {
        const int64_t label = labels[r];
        int best = 0;
        double mean = 0;
        for (int k = 0; k < classes; ++k) {
            if (logits[k] > logits[best] || (logits[k] != logits[k] && logits[best] == logits[best])) best = k;
            mean += logits[k];
        }
        const float largest = logits[best];
        double sum = 0;
        for (int k = 0; k < classes; ++k) sum += gradient[k] = std::exp(logits[k] - largest);
        const double log_sum = largest + std::log(sum);
        for (int k = 0; k < classes; ++k) gradient[k] = float((gradient[k] / sum - elsewhere) / rows);
        gradient[label] -= float((1 - smoothing) / rows);
        total += log_sum - (1 - smoothing) * logits[label] - elsewhere * mean;
        right += best == label;
    }
    *loss = float(total / rows), *num_right = right;
    return DONE;
}
