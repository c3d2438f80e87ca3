//! The kernels by NVRTC, which needs no card.

#![expect(unsafe_code, reason = "cudarc has no safe function for machine code from NVRTC")]

use std::ffi::{CStr, CString, c_char};

use cudarc::nvrtc::{result, sys};

use super::{KERNELS, error::CudaProblem};

/// The kernels as machine code for one kind of card, such as `sm_90`. PTX would need a driver at least as new as NVRTC; machine code runs on every
/// driver of the same CUDA or a newer one. NVRTC was loaded before.
pub(super) fn compile(architecture: &str) -> Result<Vec<u8>, CudaProblem> {
    let failed = |said: String| CudaProblem::Kernels { architecture: architecture.to_owned(), said };
    let named = |error: result::NvrtcError| failed(format!("NVRTC says {error}"));
    let source = CString::new(KERNELS).map_err(|error| failed(error.to_string()))?;
    let program = Program::new(&source).map_err(named)?;
    let options = [format!("--gpu-architecture={architecture}"), "--std=c++17".to_owned()];
    // SAFETY: the program is alive.
    if let Err(error) = unsafe { result::compile_program(program.handle, &options) } {
        return Err(failed(format!("NVRTC says {error}: {}", program.log())));
    }
    program.machine_code().map_err(named)
}

/// A program of NVRTC, destroyed when it is let go.
struct Program<'a> {
    handle: sys::nvrtcProgram,
    /// It may point into its source.
    _source: &'a CStr,
}

impl<'a> Program<'a> {
    fn new(source: &'a CStr) -> Result<Self, result::NvrtcError> {
        Ok(Self { handle: result::create_program(source, Some(c"headspan.cu"))?, _source: source })
    }

    fn log(&self) -> String {
        // SAFETY: the program is alive.
        let log = unsafe { result::get_program_log(self.handle) }.unwrap_or_default();
        let bytes: Vec<u8> =
            log.iter().map(|letter: &c_char| *letter as u8).take_while(|letter| *letter != 0).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn machine_code(&self) -> Result<Vec<u8>, result::NvrtcError> {
        let mut size = 0;
        // SAFETY: the program is alive, and was compiled for a kind of card; the code has the size that NVRTC tells.
        unsafe {
            sys::nvrtcGetCUBINSize(self.handle, &raw mut size).result()?;
            let mut code = vec![0_u8; size];
            sys::nvrtcGetCUBIN(self.handle, code.as_mut_ptr().cast()).result()?;
            Ok(code)
        }
    }
}

impl Drop for Program<'_> {
    fn drop(&mut self) {
        // SAFETY: it is destroyed once.
        let _gone = unsafe { result::destroy_program(self.handle) };
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::backends::cuda::{engine::NAMES, libraries::load_compiler};

    /// Looks for NVRTC in the folders of `HEADSPAN_NVRTC` too.
    #[test]
    fn nvrtc_compiles_the_kernels() -> Result<(), CudaProblem> {
        let folders = std::env::var_os("HEADSPAN_NVRTC").unwrap_or_default();
        let folders: Vec<PathBuf> = std::env::split_paths(&folders).filter(|folder| folder.is_dir()).collect();
        if let Err(missing) = load_compiler(&folders) {
            eprintln!("skipped: {missing}");
            return Ok(());
        }
        let (mut major, mut minor) = (0, 0);
        // SAFETY: it was loaded, and the two numbers are there to be written.
        unsafe { sys::nvrtcVersion(&raw mut major, &raw mut minor) };
        // CUDA 13 has left Volta.
        let oldest: &[&str] = if major < 13 { &["sm_70"] } else { &[] };
        for architecture in oldest.iter().chain(&["sm_75", "sm_80", "sm_86", "sm_89", "sm_90"]) {
            let code = compile(architecture)?;
            assert_eq!(&code[..4], b"\x7fELF");
            for name in NAMES {
                assert!(code.windows(name.len()).any(|bytes| bytes == name.as_bytes()), "{name} for {architecture}");
            }
            eprintln!("NVRTC {major}.{minor}: {} bytes for {architecture}", code.len());
        }
        Ok(())
    }
}
