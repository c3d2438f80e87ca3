//! Products, first in rows as the rest of the program has them, then as cuBLASLt takes them, which has columns.
//!
//! A matrix of rows is, read by columns, its transpose with the same leading dimension. So `C = A·B` in rows is `Cᵀ = Bᵀ·Aᵀ` in columns, where each
//! of the three transposes is the memory as it lies: the right side goes first, and nothing is moved.

use crate::precision::Precision;

/// `C = A·B`, `C = A·B + bias` or `C += A·B + bias`, of matrices whose rows lie one after the other, for several of each at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Product {
    /// Rows of `A` and `C`.
    pub(super) rows: usize,
    /// Columns of `B` and `C`.
    pub(super) columns: usize,
    /// Columns of `A`.
    pub(super) depth: usize,
    /// Type of `A` and `B`; `C` and the bias are float32.
    pub(super) factors: Precision,
    /// Values from a row to the next in `A`, `B` and `C`.
    pub(super) strides: [usize; 3],
    /// Whether `B` is stored as its transpose, `[columns, depth]`.
    pub(super) right_is_transposed: bool,
    /// Whether a bias `[columns]` is added to each row.
    pub(super) has_bias: bool,
    /// Whether what stands in `C` is a term of the sum.
    pub(super) accumulates: bool,
    /// How many products.
    pub(super) count: usize,
    /// Values from a matrix to the next in `A`, `B` and `C`.
    pub(super) distances: [usize; 3],
}

impl Product {
    /// `C = A·B` of whole matrices.
    pub(super) fn new([rows, depth, columns]: [usize; 3], factors: Precision) -> Self {
        Self {
            rows,
            columns,
            depth,
            factors,
            strides: [depth, columns, columns],
            right_is_transposed: false,
            has_bias: false,
            accumulates: false,
            count: 1,
            distances: [0; 3],
        }
    }

    /// With `B` stored as its transpose.
    pub(super) fn transposed(self) -> Self {
        let [left, _, result] = self.strides;
        Self { right_is_transposed: true, strides: [left, self.depth, result], ..self }
    }

    pub(super) fn bias(self) -> Self {
        Self { has_bias: true, ..self }
    }

    pub(super) fn accumulate(self) -> Self {
        Self { accumulates: true, ..self }
    }

    pub(super) fn strides(self, strides: [usize; 3]) -> Self {
        Self { strides, ..self }
    }

    pub(super) fn repeat(self, count: usize, distances: [usize; 3]) -> Self {
        Self { count, distances, ..self }
    }

    /// The call of cuBLASLt. Its `A` is our right side, its `B` our left.
    pub(super) fn in_columns(self) -> Columns {
        let Self { rows, columns, depth, factors, strides, has_bias, accumulates, count, distances, .. } = self;
        let layout = |rows, columns, side: usize| Layout {
            rows,
            columns,
            leading: strides[side],
            count,
            distance: distances[side],
        };
        let right = if self.right_is_transposed { layout(depth, columns, 1) } else { layout(columns, depth, 1) };
        Columns {
            transposes_a: self.right_is_transposed,
            a: right,
            b: layout(depth, rows, 0),
            c: layout(columns, rows, 2),
            factors,
            has_bias,
            accumulates,
        }
    }
}

/// `cublasLtMatmul`: `C = op(A)·B + bias + beta·C` in columns. `op` is the transpose or nothing, the bias `[rows of C]` is added to each
/// column, `beta` is 1 or 0, and the result replaces `C`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Columns {
    pub(super) transposes_a: bool,
    pub(super) a: Layout,
    pub(super) b: Layout,
    pub(super) c: Layout,
    /// Type of `A` and `B`; `C`, bias and sums are float32.
    pub(super) factors: Precision,
    pub(super) has_bias: bool,
    pub(super) accumulates: bool,
}

/// `cublasLtMatrixLayout_t` in the order of columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Layout {
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// Values from a column to the next, at least `rows`.
    pub(super) leading: usize,
    /// How many matrices.
    pub(super) count: usize,
    /// Values from a matrix to the next.
    pub(super) distance: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A product written out: A is 2 × 3, B 3 × 4, in rows.
    #[test]
    fn rows_are_columns_of_the_transpose() {
        let product = Product::new([2, 3, 4], Precision::Float32);
        let call = product.in_columns();
        let layout = |rows, columns, leading| Layout { rows, columns, leading, count: 1, distance: 0 };
        assert_eq!((call.a, call.b, call.c), (layout(4, 3, 4), layout(3, 2, 3), layout(4, 2, 4)));
        assert!(!call.transposes_a);
        let transposed = product.transposed().in_columns();
        assert_eq!((transposed.a, transposed.b, transposed.c), (layout(3, 4, 3), call.b, call.c));
        assert!(transposed.transposes_a);
    }
}
