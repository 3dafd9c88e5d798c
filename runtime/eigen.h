/* eigen.h - eigenvalues and eigenvectors of a symmetric matrix in double: what a root of a covariance needs, and no more. */
#ifndef PASTICHE_EIGEN_H
#define PASTICHE_EIGEN_H

#include <stdbool.h>
#include <stdint.h>

/* a (n,n) symmetric, row-major, destroyed; values (n) receives the eigenvalues in no order; rows (n,n), unless NULL, the eigenvectors: row i belongs to values[i]. Errors are a
 * few roundings of the largest eigenvalue. false: a number is not finite (or, never seen, the iteration does not end). */
bool eigen_symmetric(double *a, int64_t n, double *values, double *rows);

#endif
