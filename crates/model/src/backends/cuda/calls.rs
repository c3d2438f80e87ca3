//! Calls of cuBLASLt: descriptors, the choice of an algorithm, and the products themselves.

#![expect(unsafe_code, reason = "cudarc's safe products take one type for factors and result, and no alignment")]

use std::{collections::HashMap, ffi::c_void, mem::size_of_val};

use cudarc::cublaslt::{
    result::{self, CublasError},
    sys::{
        self, cublasComputeType_t::CUBLAS_COMPUTE_32F, cublasLtEpilogue_t::CUBLASLT_EPILOGUE_BIAS,
        cublasLtMatmulDescAttributes_t as DescAttribute, cublasLtMatmulPreferenceAttributes_t as PreferenceAttribute,
        cublasLtMatrixLayoutAttribute_t as LayoutAttribute, cudaDataType,
    },
};

use super::{
    error::CudaProblem,
    product::{Columns, Layout},
};
use crate::precision::Precision;

/// `CUBLAS_OP_T` of `cublas_api.h`; nothing said is `CUBLAS_OP_N`.
const TRANSPOSED: i32 = 1;
/// Largest alignment that algorithms ask for, in bytes; memory of the driver has it.
const ALIGNMENT: u64 = 256;

/// cuBLASLt on one stream. An algorithm is chosen once for every call that differs.
pub(super) struct Calls {
    handle: sys::cublasLtHandle_t,
    prepared: HashMap<(Columns, [u32; 4]), Prepared>,
}

// SAFETY: its handles are used by one thread at a time, and belong to none.
unsafe impl Send for Calls {}

/// Where a call's matrices, its bias and its workspace stand in a card's memory, as the driver has addresses.
pub(super) struct Addresses {
    pub(super) a: u64,
    pub(super) b: u64,
    pub(super) c: u64,
    /// 0 where there is none.
    pub(super) bias: u64,
    pub(super) workspace: u64,
    pub(super) workspace_bytes: usize,
}

impl Calls {
    pub(super) fn new() -> Result<Self, CudaProblem> {
        let handle = result::create_handle().map_err(failed("starting"))?;
        Ok(Self { handle, prepared: HashMap::new() })
    }

    /// Puts a product onto a stream.
    ///
    /// # Safety
    ///
    /// The stream's context is that of the thread. Every matrix lies within memory of its type that is alive until the product is done.
    pub(super) unsafe fn run(
        &mut self,
        call: &Columns,
        on: &Addresses,
        stream: *mut c_void,
    ) -> Result<(), CudaProblem> {
        let alignments = [on.a, on.b, on.c, on.bias].map(alignment);
        let prepared = match self.prepared.entry((*call, alignments)) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(Prepared::new(self.handle, call, on, alignments)?)
            }
        };
        let Prepared { descriptors, algorithm } = &*prepared;
        if call.has_bias {
            descriptors.set_bias(on.bias).map_err(failed("setting a bias"))?;
        }
        let (alpha, beta) = (1.0_f32, if call.accumulates { 1.0_f32 } else { 0.0 });
        // SAFETY: the descriptors are alive; the rest is the caller's promise.
        let done = unsafe {
            result::matmul(
                self.handle,
                descriptors.product,
                (&raw const alpha).cast(),
                (&raw const beta).cast(),
                on.a as *const c_void,
                descriptors.a,
                on.b as *const c_void,
                descriptors.b,
                on.c as *const c_void,
                descriptors.c,
                on.c as *mut c_void,
                descriptors.c,
                &raw const *algorithm,
                on.workspace as *mut c_void,
                on.workspace_bytes,
                stream.cast(),
            )
        };
        done.map_err(failed("multiplying"))
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        self.prepared.clear();
        // SAFETY: it is destroyed once.
        let _gone = unsafe { result::destroy_handle(self.handle) };
    }
}

/// A call with its algorithm.
struct Prepared {
    descriptors: Descriptors,
    algorithm: sys::cublasLtMatmulAlgo_t,
}

impl Prepared {
    fn new(
        handle: sys::cublasLtHandle_t,
        call: &Columns,
        on: &Addresses,
        [a, b, c, _]: [u32; 4],
    ) -> Result<Self, CudaProblem> {
        let choose = || -> Result<Self, CublasError> {
            let descriptors = Descriptors::new(call)?;
            if call.has_bias {
                descriptors.set_bias(on.bias)?;
            }
            let preference = Preference(result::create_matmul_pref()?);
            preference
                .set(PreferenceAttribute::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &(on.workspace_bytes as u64))?;
            preference.set(PreferenceAttribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &a)?;
            preference.set(PreferenceAttribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &b)?;
            preference.set(PreferenceAttribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &c)?;
            preference.set(PreferenceAttribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &c)?;
            let Descriptors { product, a, b, c } = descriptors;
            // SAFETY: all of them are alive.
            let found = unsafe { result::get_matmul_algo_heuristic(handle, product, a, b, c, c, preference.0) }?;
            found.state.result()?;
            Ok(Self { descriptors, algorithm: found.algo })
        };
        choose().map_err(failed("choosing how to multiply"))
    }
}

/// What a call is, as cuBLASLt has it. `C` is also the result.
struct Descriptors {
    product: sys::cublasLtMatmulDesc_t,
    a: sys::cublasLtMatrixLayout_t,
    b: sys::cublasLtMatrixLayout_t,
    c: sys::cublasLtMatrixLayout_t,
}

impl Descriptors {
    fn new(call: &Columns) -> Result<Self, CublasError> {
        let (single, factors) = (cudaDataType::CUDA_R_32F, type_of(call.factors));
        let (product, none) = (std::ptr::null_mut(), std::ptr::null_mut());
        let mut made = Self { product, a: none, b: none, c: none };
        made.product = result::create_matmul_desc(CUBLAS_COMPUTE_32F, single)?;
        made.a = layout(&call.a, factors)?;
        made.b = layout(&call.b, factors)?;
        made.c = layout(&call.c, single)?;
        if call.transposes_a {
            made.set(DescAttribute::CUBLASLT_MATMUL_DESC_TRANSA, &TRANSPOSED)?;
        }
        if call.has_bias {
            made.set(DescAttribute::CUBLASLT_MATMUL_DESC_EPILOGUE, &(CUBLASLT_EPILOGUE_BIAS as u32))?;
        }
        Ok(made)
    }

    fn set<T>(&self, attribute: DescAttribute, value: &T) -> Result<(), CublasError> {
        // SAFETY: the value is alive, and has the size that is told.
        unsafe {
            result::set_matmul_desc_attribute(self.product, attribute, std::ptr::from_ref(value).cast(), size_of::<T>())
        }
    }

    fn set_bias(&self, address: u64) -> Result<(), CublasError> {
        self.set(DescAttribute::CUBLASLT_MATMUL_DESC_BIAS_POINTER, &address)
    }
}

impl Drop for Descriptors {
    fn drop(&mut self) {
        // SAFETY: each is destroyed once, and only if it was made.
        unsafe {
            for layout in [self.a, self.b, self.c].into_iter().filter(|layout| !layout.is_null()) {
                let _gone = result::destroy_matrix_layout(layout);
            }
            if !self.product.is_null() {
                let _gone = result::destroy_matmul_desc(self.product);
            }
        }
    }
}

/// Rows, columns and leading dimension in the order of columns, which is cuBLASLt's own.
fn layout(layout: &Layout, values: cudaDataType) -> Result<sys::cublasLtMatrixLayout_t, CublasError> {
    let Layout { rows, columns, leading, count, distance } = *layout;
    let made = result::create_matrix_layout(values, rows as u64, columns as u64, leading as i64)?;
    if count == 1 {
        return Ok(made);
    }
    let (count, distance) = (count as i32, distance as i64);
    let (number, offset) = (
        LayoutAttribute::CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT,
        LayoutAttribute::CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
    );
    // SAFETY: the values are alive, and have the sizes that are told.
    unsafe {
        result::set_matrix_layout_attribute(made, number, (&raw const count).cast(), size_of_val(&count))?;
        result::set_matrix_layout_attribute(made, offset, (&raw const distance).cast(), size_of_val(&distance))?;
    }
    Ok(made)
}

/// What an algorithm must be able to do with.
struct Preference(sys::cublasLtMatmulPreference_t);

impl Preference {
    fn set<T>(&self, attribute: PreferenceAttribute, value: &T) -> Result<(), CublasError> {
        // SAFETY: the value is alive, and has the size that is told.
        unsafe {
            result::set_matmul_pref_attribute(self.0, attribute, std::ptr::from_ref(value).cast(), size_of::<T>())
        }
    }
}

impl Drop for Preference {
    fn drop(&mut self) {
        // SAFETY: it is destroyed once.
        let _gone = unsafe { result::destroy_matmul_pref(self.0) };
    }
}

fn type_of(precision: Precision) -> cudaDataType {
    match precision {
        Precision::Float32 => cudaDataType::CUDA_R_32F,
        Precision::Bfloat16 => cudaDataType::CUDA_R_16BF,
        Precision::Float16 => cudaDataType::CUDA_R_16F,
    }
}

/// Bytes that an address is a multiple of.
fn alignment(address: u64) -> u32 {
    1 << (address | ALIGNMENT).trailing_zeros()
}

fn failed(doing: &'static str) -> impl Fn(CublasError) -> CudaProblem {
    move |error| CudaProblem::Products { doing, said: error.to_string() }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::backends::cuda::{libraries::load_products, product::Product};

    #[test]
    fn alignments_are_powers_of_two() {
        assert_eq!([4, 8, 132, 256, 512, 0].map(alignment), [4, 8, 4, 256, 256, 256]);
    }

    /// cuBLASLt makes descriptors without a card, and tells what it took for each number. It is looked for in the folders of
    /// `HEADSPAN_CUBLASLT` too.
    #[test]
    fn cublaslt_takes_the_descriptors() -> Result<(), Box<dyn std::error::Error>> {
        let folders = std::env::var_os("HEADSPAN_CUBLASLT").unwrap_or_default();
        let folders: Vec<PathBuf> = std::env::split_paths(&folders).filter(|folder| folder.is_dir()).collect();
        if let Err(missing) = load_products(&folders) {
            eprintln!("skipped: {missing}");
            return Ok(());
        }
        let product = Product::new([5, 64, 7], Precision::Bfloat16).transposed().bias().accumulate();
        let call = product.strides([192, 200, 8]).repeat(3, [960, 1400, 40]).in_columns();
        let made = Descriptors::new(&call)?;
        made.set_bias(4096)?;
        // SAFETY: the descriptor is alive, and the value has the size that is told.
        let told = |attribute| {
            told::<u32>(|to, size| unsafe {
                sys::cublasLtMatmulDescGetAttribute(made.product, attribute, to, size, std::ptr::null_mut())
            })
        };
        assert_eq!(told(DescAttribute::CUBLASLT_MATMUL_DESC_TRANSA)?, 1);
        assert_eq!(told(DescAttribute::CUBLASLT_MATMUL_DESC_TRANSB)?, 0);
        assert_eq!(told(DescAttribute::CUBLASLT_MATMUL_DESC_EPILOGUE)?, 4);
        assert_eq!(told(DescAttribute::CUBLASLT_MATMUL_DESC_COMPUTE_TYPE)?, 68);
        let found = [made.a, made.b, made.c].map(|layout| read(layout).map_err(|error| error.to_string()));
        let expected = [[14, 64, 7, 200, 3, 1400], [14, 64, 5, 192, 3, 960], [0, 7, 5, 8, 3, 40]];
        assert_eq!(found, expected.map(Ok));
        Ok(())
    }

    fn told<T: Default>(ask: impl Fn(*mut c_void, usize) -> sys::cublasStatus_t) -> Result<T, CublasError> {
        let mut value = T::default();
        ask((&raw mut value).cast(), size_of::<T>()).result()?;
        Ok(value)
    }

    /// Type, rows, columns, leading dimension, count and distance.
    fn read(layout: sys::cublasLtMatrixLayout_t) -> Result<[i64; 6], CublasError> {
        use LayoutAttribute::{
            CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, CUBLASLT_MATRIX_LAYOUT_COLS, CUBLASLT_MATRIX_LAYOUT_LD,
            CUBLASLT_MATRIX_LAYOUT_ROWS, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, CUBLASLT_MATRIX_LAYOUT_TYPE,
        };
        // SAFETY: the layout is alive, and the value has the size that is told.
        let ask = |attribute| {
            move |to: *mut c_void, size: usize| unsafe {
                sys::cublasLtMatrixLayoutGetAttribute(layout, attribute, to, size, std::ptr::null_mut())
            }
        };
        Ok([
            told::<i32>(ask(CUBLASLT_MATRIX_LAYOUT_TYPE))?.into(),
            told(ask(CUBLASLT_MATRIX_LAYOUT_ROWS))?,
            told(ask(CUBLASLT_MATRIX_LAYOUT_COLS))?,
            told(ask(CUBLASLT_MATRIX_LAYOUT_LD))?,
            told::<i32>(ask(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT))?.into(),
            told(ask(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET))?,
        ])
    }
}
