//! The kernels' own source, compiled for the processor by the system's C++ compiler.

#![expect(unsafe_code, reason = "functions of a library that was compiled a moment ago are called by pointers")]

use std::{
    ffi::{CString, c_char, c_int, c_uint, c_void},
    process::Command,
};

use libloading::Library;

use super::{Memory, Values};
use crate::backends::cuda::{
    KERNELS,
    engine::{Argument, Kernel},
};

/// Warps of a block.
const ROWS: usize = 3;

type Launch = unsafe extern "C" fn(*const c_char, *mut *mut c_void, c_uint, c_uint) -> c_int;

/// The kernels as a library.
pub(crate) struct Compiled {
    library: Library,
}

impl Compiled {
    /// Compiles the kernels with a warp of so many lanes; none where there is no compiler. `CXX` names another one than `c++`.
    pub(crate) fn new(lanes: usize) -> std::io::Result<Option<Self>> {
        let folder = tempfile::tempdir()?;
        let (source, library) = (folder.path().join("kernels.cpp"), folder.path().join("kernels.so"));
        let (before, after) = (include_str!("../kernels/host.h"), include_str!("../kernels/host_calls.h"));
        fs_err::write(&source, format!("#define LANES {lanes}\n{before}{KERNELS}{after}"))?;
        let compiler = std::env::var("CXX").unwrap_or_else(|_not_set| "c++".to_owned());
        let mut command = Command::new(&compiler);
        command.args(["-std=c++17", "-O2", "-Wall", "-Werror", "-Wno-unused-function", "-shared", "-fPIC", "-pthread"]);
        let told = match command.arg(&source).arg("-o").arg(&library).output() {
            Ok(told) => told,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                eprintln!("skipped: there is no C++ compiler `{compiler}`");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        // SAFETY: the library has no initialisation but that of its own variables.
        let library = unsafe { Library::new(&library) }.map_err(std::io::Error::other)?;
        Ok(Some(Self { library }))
    }

    /// Runs a kernel. Memory is read and written where it is.
    pub(super) fn launch(&self, kernel: &Kernel<'_, Memory>) {
        let mut arguments: Vec<Stored> = kernel.arguments().iter().map(Stored::of).collect();
        let mut pointers: Vec<*mut c_void> = arguments.iter_mut().map(Stored::address).collect();
        let name = CString::new(kernel.name()).expect("a name");
        // SAFETY: `launch` has this type in `host_calls.h`, and the kernels take what `Kernel::arguments` lists.
        let unknown = unsafe {
            let launch = self.library.get::<Launch>(b"launch").expect("host_calls.h has it");
            launch(name.as_ptr(), pointers.as_mut_ptr(), kernel.rows().div_ceil(ROWS) as c_uint, ROWS as c_uint)
        };
        assert_eq!(unknown, 0, "{} is not in host_calls.h", kernel.name());
    }
}

/// An argument where a pointer can point at it.
enum Stored {
    Pointer(*mut c_void),
    Count(i64),
    Int(i32),
    Float(f32),
}

impl Stored {
    fn of(argument: &Argument<'_, Memory>) -> Self {
        match argument {
            Argument::Buffer(buffer) => Self::Pointer(match &mut *buffer.borrow_mut() {
                Values::Single(values) => values.as_mut_ptr().cast(),
                Values::Half(_, values) => values.as_mut_ptr().cast(),
            }),
            Argument::Count(number) => Self::Count(*number),
            Argument::Int(number) => Self::Int(*number),
            Argument::Float(number) => Self::Float(*number),
        }
    }

    fn address(&mut self) -> *mut c_void {
        match self {
            Self::Pointer(value) => std::ptr::from_mut(value).cast(),
            Self::Count(value) => std::ptr::from_mut(value).cast(),
            Self::Int(value) => std::ptr::from_mut(value).cast(),
            Self::Float(value) => std::ptr::from_mut(value).cast(),
        }
    }
}
