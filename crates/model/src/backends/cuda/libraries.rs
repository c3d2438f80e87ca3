//! NVIDIA's libraries, loaded when the program first asks for them: the driver, cuBLASLt and NVRTC.
//!
//! The loader looks first, by `LD_LIBRARY_PATH` and its own cache. Then come the folders of CUDA's toolkit and of Python packages:
//! PyTorch brings cuBLASLt and NVRTC as packages. A library that is loaded by its path is found by its name from then on, which is how `cudarc` gets it.

#![expect(unsafe_code, reason = "a library's initialisation runs when it is loaded")]

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use cudarc::{cublaslt, driver, nvrtc};
use libloading::Library;

use super::{card::failed, error::CudaProblem};

/// One of NVIDIA's libraries.
struct Wanted {
    title: &'static str,
    /// Names of its file with the version of CUDA that each belongs to, the newest first. The driver's belongs to all.
    names: &'static [(&'static str, i32)],
    /// Whether `cudarc` finds it.
    is_found: fn() -> bool,
}

#[cfg(not(windows))]
const NAMES: [&[(&str, i32)]; 3] = [
    &[("libcuda.so.1", 0)],
    &[("libcublasLt.so.13", 13), ("libcublasLt.so.12", 12)],
    &[("libnvrtc.so.13", 13), ("libnvrtc.so.12", 12)],
];
#[cfg(windows)]
const NAMES: [&[(&str, i32)]; 3] = [
    &[("nvcuda.dll", 0)],
    &[("cublasLt64_13.dll", 13), ("cublasLt64_12.dll", 12)],
    &[("nvrtc64_130_0.dll", 13), ("nvrtc64_120_0.dll", 12)],
];

/// The driver.
const DRIVER: Wanted = Wanted {
    title: "NVIDIA's driver",
    names: NAMES[0],
    // SAFETY: as for every library that is loaded here.
    is_found: || unsafe { driver::sys::is_culib_present() },
};
/// Products.
const PRODUCTS: Wanted = Wanted {
    title: "cuBLASLt",
    names: NAMES[1],
    // SAFETY: as for every library that is loaded here.
    is_found: || unsafe { cublaslt::sys::is_culib_present() },
};
/// The compiler of kernels.
const COMPILER: Wanted = Wanted {
    title: "NVRTC",
    names: NAMES[2],
    // SAFETY: as for every library that is loaded here.
    is_found: || unsafe { nvrtc::sys::is_culib_present() },
};

/// Loads all three, or says which one is missing and where it was looked for. The driver comes first: without it the others are of no use.
pub(super) fn load() -> Result<(), CudaProblem> {
    static LOADED: OnceLock<Result<(), CudaProblem>> = OnceLock::new();
    let load = || {
        let folders = folders();
        DRIVER.load(&folders, i32::MAX)?;
        let driver = driver_version()?;
        PRODUCTS.load(&folders, driver)?;
        COMPILER.load(&folders, driver)?;
        check_versions(driver)
    };
    LOADED.get_or_init(load).clone()
}

/// The major version of CUDA that the driver supports.
fn driver_version() -> Result<i32, CudaProblem> {
    let mut version = 0;
    // SAFETY: the driver was loaded, and the number is there to be written.
    let told = unsafe { driver::sys::cuDriverGetVersion(&raw mut version).result() };
    told.map_err(failed("asking for its version"))?;
    Ok(version / 1000)
}

/// Loads NVRTC alone, which needs neither a driver nor a card; looks into some folders too.
#[cfg(test)]
pub(super) fn load_compiler(also: &[PathBuf]) -> Result<(), CudaProblem> {
    COMPILER.load(&[also, &folders()].concat(), i32::MAX)
}

/// As [`load_compiler`], of cuBLASLt, which can say how it understands a product.
#[cfg(test)]
pub(super) fn load_products(also: &[PathBuf]) -> Result<(), CudaProblem> {
    PRODUCTS.load(&[also, &folders()].concat(), i32::MAX)
}

/// An error where a library belongs to a newer CUDA than the driver: the loader may know it by a name without a version.
fn check_versions(driver: i32) -> Result<(), CudaProblem> {
    let (mut compiler, mut minor) = (0, 0);
    // SAFETY: both were loaded, and the two numbers are there to be written.
    let products = unsafe {
        nvrtc::sys::nvrtcVersion(&raw mut compiler, &raw mut minor);
        cublaslt::sys::cublasLtGetVersion()
    };
    // 120_900 and 130_200 are 12.9 and 13.2.
    let found = [(&PRODUCTS, (products / 10_000) as i32), (&COMPILER, compiler)];
    match found.into_iter().find(|(_, found)| *found > driver) {
        Some((library, found)) => Err(CudaProblem::TooNew { library: library.title, found, driver }),
        None => Ok(()),
    }
}

impl Wanted {
    /// Loads the newest that belongs to a CUDA no newer than `newest`.
    fn load(&self, folders: &[PathBuf], newest: i32) -> Result<(), CudaProblem> {
        let fitting = self.names.iter().filter(|(_, version)| *version <= newest);
        let names: Vec<&str> = fitting.map(|(name, _)| *name).collect();
        let by_name = names.iter().map(PathBuf::from);
        let by_path = folders.iter().flat_map(|folder| names.iter().map(move |name| folder.join(name)));
        for file in by_name.chain(by_path.filter(|path| path.exists())) {
            // SAFETY: it is NVIDIA's, by its name, and its initialisation is the one that every program with CUDA runs.
            if let Ok(library) = unsafe { Library::new(&file) } {
                keep(library);
                if (self.is_found)() {
                    return Ok(());
                }
            }
        }
        let names = names.into_iter().map(str::to_owned).collect();
        Err(CudaProblem::NoLibrary { library: self.title, names, folders: folders.to_owned() })
    }
}

/// Leaves a library loaded until the program ends: functions of it are kept in static memory.
fn keep(library: Library) {
    std::mem::forget(library);
}

/// Folders that may have the libraries and that the loader does not know.
fn folders() -> Vec<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let toolkits = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(variable).chain(["/usr/local/cuda".into()]);
    let mut found: Vec<PathBuf> = toolkits.flat_map(|toolkit| [toolkit.join("lib64"), toolkit.join("bin")]).collect();
    let environments = ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(variable).chain(own_environment());
    for environment in environments {
        found.push(environment.join("lib"));
        found.extend(packages_of(&environment).iter().flat_map(|packages| libraries_in(packages)));
    }
    found.extend(packages_of_process().iter().flat_map(|packages| libraries_in(packages)));
    found.retain(|folder| folder.is_dir());
    let mut seen = BTreeSet::new();
    found.retain(|folder| seen.insert(folder.clone()));
    found
}

/// The environment that the program is installed in: of `ENV/bin/headspan` it is `ENV`.
fn own_environment() -> Option<PathBuf> {
    Some(std::env::current_exe().ok()?.parent()?.parent()?.to_owned())
}

/// `lib/python*/site-packages` of an environment.
fn packages_of(environment: &Path) -> Vec<PathBuf> {
    let mut packages = vec![environment.join("Lib").join("site-packages")];
    let pythons = entries(&environment.join("lib"));
    packages.extend(pythons.into_iter().map(|folder| folder.join("site-packages")));
    packages.retain(|folder| folder.is_dir());
    packages
}

/// The folders of packages that this process has modules from: where headspan is one, it is among them.
fn packages_of_process() -> Vec<PathBuf> {
    let maps = fs_err::read_to_string("/proc/self/maps").unwrap_or_default();
    let paths = maps.lines().filter_map(|line| line.split_once('/')).map(|(_, path)| format!("/{path}"));
    let folders =
        paths.filter_map(|path| path.find("/site-packages/").map(|at| path[..at].to_owned() + "/site-packages"));
    folders.collect::<BTreeSet<String>>().into_iter().map(PathBuf::from).collect()
}

/// `nvidia/*/lib` of a folder of packages, and `bin`, where it is on Windows.
fn libraries_in(packages: &Path) -> Vec<PathBuf> {
    entries(&packages.join("nvidia"))
        .into_iter()
        .flat_map(|package| [package.join("lib"), package.join("bin")])
        .collect()
}

/// What stands in a folder, in the order of the names; nothing where there is no such folder.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs_err::read_dir(folder) else { return Vec::new() };
    entries.flatten().map(|entry| entry.path()).collect::<BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_of_packages_are_found() -> std::io::Result<()> {
        let environment = tempfile::tempdir()?;
        let packages = environment.path().join("lib/python3.12/site-packages");
        let expected = ["cu13", "cuda_nvrtc"].map(|package| packages.join("nvidia").join(package).join("lib"));
        for folder in &expected {
            fs_err::create_dir_all(folder)?;
        }
        assert_eq!(packages_of(environment.path()), std::slice::from_ref(&packages));
        let found: Vec<PathBuf> = libraries_in(&packages).into_iter().filter(|folder| folder.is_dir()).collect();
        assert_eq!(found, expected);
        Ok(())
    }

    #[test]
    fn what_is_missing_is_named() {
        let names = &[("libno-such.so.13", 13), ("libno-such.so.12", 12)];
        let wanted = Wanted { title: "a library", names, is_found: || true };
        let missing = wanted.load(&["/no/such/folder".into()], 12).map_err(|problem| problem.to_string());
        assert_eq!(
            missing,
            Err("a library is missing: libno-such.so.12 was found neither by the loader nor in `/no/such/folder`"
                .to_owned())
        );
    }
}
