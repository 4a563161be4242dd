// The kernels that chains are made of. Tensors are float32 with channels last in memory; sizes are those of the
// input (images, depth, height, width, channels in), of images the depth and the depth of kernels and windows are 1.
// All return DONE, NO_MEMORY or OUT_OF_RANGE.
#pragma once

#include <cstdint>

constexpr int DONE = 0, NO_MEMORY = 1, OUT_OF_RANGE = 2;

// Convolution with weights (out, in, kernel depth, 3, 3) and bias (out) or null; in and out are multiples of 4.
int convolution_forward(const float* x, const float* weights, const float* bias, float* y, int images, int depth,
                        int height, int width, int in, int out, int kernel_depth, int padding);
int convolution_backward_input(const float* dy, const float* weights, float* dx, int images, int depth, int height,
                               int width, int in, int out, int kernel_depth, int padding);
int convolution_backward_weights(const float* x, const float* dy, float* gradient, int images, int depth, int height,
                                 int width, int in, int out, int kernel_depth, int padding);

// The same for one to three channels of input; there is no gradient of x.
int first_layer_forward(const float* x, const float* weights, const float* bias, float* y, int images, int depth,
                        int height, int width, int in, int out, int kernel_depth, int padding);
int first_layer_backward(const float* x, const float* dy, float* gradient, int images, int depth, int height, int width,
                         int in, int out, int kernel_depth, int padding);

// Then the ReLU of the maximum over windows of two pixels along every axis, see pool_forward.
int first_layer_pool_forward(const float* x, const float* weights, const float* bias, float* y, uint8_t* which,
                             int images, int depth, int height, int width, int in, int out, int kernel_depth,
                             int padding);
int first_layer_pool_backward(const float* x, const float* y, const float* dy, const uint8_t* which, float* d_weights,
                              float* d_bias, int images, int depth, int height, int width, int in, int out,
                              int kernel_depth, int padding);

// Sums over rows (rows, channels): the gradient of a bias.
int sum_of_rows(const float* x, float* sums, long rows, int channels);

// Batch norm of rows (rows, channels), and ReLU where asked for. saved (2, channels) is written.
int norm_forward(const float* x, const float* weight, const float* bias, float* running_mean, float* running_var,
                 float momentum, float epsilon, int training, int with_relu, float* y, float* saved, long rows,
                 int channels);
int norm_backward(const float* x, const float* y, const float* dy, const float* weight, const float* saved,
                  int with_relu, float* dx, float* d_weight, float* d_bias, long rows, int channels);

// Batch norm, then pool_forward. largest: the largest of every window before the norm, or null as `which` below.
int norm_pool_forward(const float* x, const float* weight, const float* bias, float* running_mean, float* running_var,
                      float momentum, float epsilon, int training, float* y, uint8_t* which, float* largest,
                      float* saved, int images, int depth, int height, int width, int channels, int slices);
int norm_pool_backward(const float* x, const float* y, const float* dy, const uint8_t* which, const float* largest,
                       const float* weight, const float* saved, float* dx, float* d_weight, float* d_bias, int images,
                       int depth, int height, int width, int channels, int slices);

// ReLU of the maximum over windows of `slices` x 2 x 2; which: number of the pixel in its window, or null where no
// gradient will be asked for.
int pool_forward(const float* x, float* y, uint8_t* which, int images, int depth, int height, int width, int channels,
                 int slices);
int pool_backward(const float* y, const float* dy, const uint8_t* which, float* dx, int images, int depth, int height,
                  int width, int channels, int slices);

// Mean over all pixels of an image (images, pixels, channels); channels are a multiple of 4.
int average_forward(const float* x, float* y, int images, long pixels, int channels);
int average_backward(const float* dy, float* dx, int images, long pixels, int channels);

// Dense layer of rows (rows, in) with weights (out, in) and bias (out) or null, and ReLU where asked for; in is a
// multiple of 4. Gradients that are null are not asked for.
int dense_forward(const float* x, const float* weights, const float* bias, float* y, int rows, int in, int out,
                  int with_relu);
int dense_backward(const float* x, const float* y, const float* dy, const float* weights, float* dx, float* d_weights,
                   float* d_bias, int rows, int in, int out, int with_relu);

// Number by number: dropout, forward and backward.
int product(const float* x, const float* factors, float* y, long size);

// Mean over rows of -sum(target log softmax) and its gradient (rows, classes), where a target is 1 - smoothing at the
// label and smoothing / classes everywhere; labels are classes. num_right: rows whose label has the largest logit. Of
// equal ones the first decides; what is no number wins, as in torch.
int cross_entropy(const float* logits, const int64_t* labels, double smoothing, float* loss, int64_t* num_right,
                  float* gradient, int rows, int classes);
