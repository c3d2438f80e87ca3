//! An engine without a card, for the tests.

mod compiled;
mod plain;

use std::{cell::RefCell, rc::Rc};

use half::{bf16, f16};

use super::{
    engine::{Engine, Kernel, Operands},
    product::{Columns, Layout, Product},
};
use crate::{error::Result, precision::Precision};

pub(super) use compiled::Compiled;

/// Products by the semantics of `cublasLtMatmul`; kernels in Rust, or by their own source.
pub(super) struct Host {
    pub(super) kernels: Option<Rc<Compiled>>,
}

/// Memory as a card would have it.
pub(super) type Memory = Rc<RefCell<Values>>;

pub(super) enum Values {
    Single(Vec<f32>),
    Half(Precision, Vec<u16>),
}

impl Values {
    /// What was never written is NaN, so that reading it shows.
    pub(super) fn new(count: usize, format: Precision) -> Self {
        Self::of(&vec![f32::NAN; count], format)
    }

    pub(super) fn of(values: &[f32], format: Precision) -> Self {
        let bits = |bits: fn(f32) -> u16| Self::Half(format, values.iter().map(|value| bits(*value)).collect());
        match format {
            Precision::Float32 => Self::Single(values.to_vec()),
            Precision::Bfloat16 => bits(|value| bf16::from_f32(value).to_bits()),
            Precision::Float16 => bits(|value| f16::from_f32(value).to_bits()),
        }
    }

    pub(super) fn format(&self) -> Precision {
        match self {
            Self::Single(_) => Precision::Float32,
            Self::Half(format, _) => *format,
        }
    }

    pub(super) fn to_vec(&self) -> Vec<f32> {
        let floats = |bits: &[u16], float: fn(u16) -> f32| bits.iter().map(|bits| float(*bits)).collect();
        match self {
            Self::Single(values) => values.clone(),
            Self::Half(Precision::Float16, bits) => floats(bits, |bits| f16::from_bits(bits).to_f32()),
            Self::Half(_, bits) => floats(bits, |bits| bf16::from_bits(bits).to_f32()),
        }
    }

    /// Replaces what stands from a place on.
    pub(super) fn put(&mut self, first: usize, values: &[f32]) {
        match (Self::of(values, self.format()), self) {
            (Self::Single(from), Self::Single(to)) => to[first..][..from.len()].copy_from_slice(&from),
            (Self::Half(_, from), Self::Half(_, to)) => to[first..][..from.len()].copy_from_slice(&from),
            _ => unreachable!("both have one format"),
        }
    }
}

impl Engine for Host {
    type Buffer = Memory;

    fn allocate(&self, values: usize, format: Precision) -> Result<Memory> {
        Ok(Rc::new(RefCell::new(Values::new(values, format))))
    }

    fn upload(&self, values: &[f32], format: Precision) -> Result<Memory> {
        Ok(Rc::new(RefCell::new(Values::of(values, format))))
    }

    fn write(&mut self, values: &[f32], to: &Memory) -> Result<()> {
        to.borrow_mut().put(0, values);
        Ok(())
    }

    fn multiply(&mut self, product: Product, on: &Operands<'_, Memory>) -> Result<()> {
        let call = product.in_columns();
        assert_eq!(call.has_bias, on.bias.is_some());
        for (operand, format) in [(on.left, call.factors), (on.right, call.factors), (on.result, Precision::Float32)] {
            assert_eq!(operand.0.borrow().format(), format, "{product:?}");
        }
        // Its A is our right side.
        let [a, b, mut c] = [on.right, on.left, on.result].map(|(buffer, _)| buffer.borrow().to_vec());
        let bias = on.bias.map(|(buffer, first)| buffer.borrow().to_vec()[first..].to_vec());
        matmul(&call, &a[on.right.1..], &b[on.left.1..], bias.as_deref(), &mut c[on.result.1..]);
        on.result.0.borrow_mut().put(0, &c);
        Ok(())
    }

    fn launch(&mut self, kernel: &Kernel<'_, Memory>) -> Result<()> {
        match &self.kernels {
            Some(compiled) => compiled.launch(kernel),
            None => plain::launch(kernel),
        }
        Ok(())
    }

    fn read(&mut self, buffers: &[(&Memory, usize)]) -> Result<Vec<Vec<f32>>> {
        Ok(buffers.iter().map(|(buffer, count)| buffer.borrow().to_vec()[..*count].to_vec()).collect())
    }
}

impl Layout {
    /// Index of an element of one of the matrices: columns lie one after the other.
    fn at(&self, matrix: usize, row: usize, column: usize) -> usize {
        assert!(row < self.rows && column < self.columns && matrix < self.count, "{self:?}");
        matrix * self.distance + column * self.leading + row
    }
}

/// `cublasLtMatmul` with `D = C`, by its documentation, after the checks that it makes. Sums are float64, so that the kernels and the
/// sequence alone make a difference.
fn matmul(call: &Columns, a: &[f32], b: &[f32], bias: Option<&[f32]>, c: &mut [f32]) {
    let (rows, columns, depth) = (call.c.rows, call.c.columns, call.b.rows);
    let op_a = if call.transposes_a { [call.a.columns, call.a.rows] } else { [call.a.rows, call.a.columns] };
    assert_eq!((op_a, call.b.columns), ([rows, depth], columns), "{call:?}");
    for layout in [call.a, call.b, call.c] {
        assert!(layout.leading >= layout.rows && layout.count == call.c.count, "{call:?}");
    }
    for matrix in 0..call.c.count {
        for column in 0..columns {
            for row in 0..rows {
                let of_a = |k| if call.transposes_a { call.a.at(matrix, k, row) } else { call.a.at(matrix, row, k) };
                let term = |k| f64::from(a[of_a(k)]) * f64::from(b[call.b.at(matrix, k, column)]);
                let mut sum: f64 = (0..depth).map(term).sum();
                let to = &mut c[call.c.at(matrix, row, column)];
                // beta = 0 means that C is not read: it may be NaN.
                if call.accumulates {
                    sum += f64::from(*to);
                }
                // The bias is as long as a column, and the same for all.
                *to = (sum + bias.map_or(0.0, |bias| f64::from(bias[row]))) as f32;
            }
        }
    }
}
