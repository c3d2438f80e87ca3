use std::{fmt, panic, str::FromStr};

use burn::tensor::{Device, DeviceKind, DeviceType, TensorData};
use serde::{Deserialize, Serialize};

use crate::error::{ClipError, Result};

/// Where the model runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceChoice {
    /// CUDA if it is built in and there, else a GPU through wgpu, else the CPU.
    #[default]
    Auto,
    /// Burn's flex backend.
    Cpu,
    /// A GPU through wgpu (Vulkan, Metal or DirectX).
    Wgpu,
    /// An NVIDIA GPU through CUDA (needs the feature `cuda`).
    Cuda,
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Wgpu => "wgpu",
            Self::Cuda => "cuda",
        })
    }
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        [Self::Auto, Self::Cpu, Self::Wgpu, Self::Cuda]
            .into_iter()
            .find(|choice| choice.to_string() == name)
            .ok_or_else(|| format!("unknown device `{name}`: expected auto, cpu, wgpu or cuda"))
    }
}

/// One device that could be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceDescription {
    /// `cpu`, `wgpu` or `cuda`.
    pub kind: DeviceChoice,
    /// Name as the driver gives it.
    pub name: String,
}

/// Every device that this build can reach here.
pub fn available_devices() -> Vec<DeviceDescription> {
    let mut devices = Vec::new();
    #[cfg(feature = "cuda")]
    devices.extend(listed(DeviceChoice::Cuda, DeviceType::Cuda));
    devices.extend(listed(DeviceChoice::Wgpu, DeviceType::Wgpu));
    devices.push(DeviceDescription { kind: DeviceChoice::Cpu, name: "flex".to_owned() });
    devices
}

fn listed(kind: DeviceChoice, device_type: DeviceType) -> Vec<DeviceDescription> {
    // Drivers that are half installed make the enumeration panic; then there is no such device.
    let devices = panic::catch_unwind(|| Device::enumerate(device_type).into_vec()).unwrap_or_default();
    let name = |device: &Device| {
        let note = if is_software(device) { ", a software renderer: `auto` passes it over" } else { "" };
        format!("{device:?}{note}")
    };
    devices.iter().map(|device| DeviceDescription { kind, name: name(device) }).collect()
}

/// Whether a graphics driver only imitates a GPU on the CPU (llvmpipe, WARP): right, and hundreds of times slower than the
/// CPU backend.
fn is_software(device: &Device) -> bool {
    *device == Device::wgpu(DeviceKind::Cpu)
}

/// Devices of the graphics drivers, software renderers last.
fn graphics_devices() -> Vec<Device> {
    let mut devices = Device::enumerate(DeviceType::Wgpu).into_vec();
    devices.sort_by_key(is_software);
    devices
}

/// Opens a device and proves with one addition that it computes, since a GPU that is not there shows only then.
pub fn open_device(choice: DeviceChoice) -> Result<(Device, DeviceChoice)> {
    match choice {
        DeviceChoice::Cpu => Ok((Device::flex(), DeviceChoice::Cpu)),
        DeviceChoice::Wgpu => open_listed(DeviceChoice::Wgpu, graphics_devices),
        DeviceChoice::Cuda => open_cuda(),
        DeviceChoice::Auto => Ok(open_cuda()
            .or_else(|_no_cuda| {
                open_listed(DeviceChoice::Wgpu, || {
                    graphics_devices().into_iter().filter(|device| !is_software(device)).collect()
                })
            })
            .unwrap_or_else(|_no_gpu| (Device::flex(), DeviceChoice::Cpu))),
    }
}

#[cfg(feature = "cuda")]
fn open_cuda() -> Result<(Device, DeviceChoice)> {
    open_listed(DeviceChoice::Cuda, || Device::enumerate(DeviceType::Cuda).into_vec())
}

#[cfg(not(feature = "cuda"))]
fn open_cuda() -> Result<(Device, DeviceChoice)> {
    Err(ClipError::NoDevice {
        wanted: "cuda".to_owned(),
        why: "this headspan was built without it; build with `--features cuda`".to_owned(),
    })
}

fn open_listed(
    choice: DeviceChoice,
    list: impl FnOnce() -> Vec<Device> + panic::UnwindSafe,
) -> Result<(Device, DeviceChoice)> {
    let missing = |why: &str| ClipError::NoDevice { wanted: choice.to_string(), why: why.to_owned() };
    let opened = panic::catch_unwind(|| {
        let device = list().into_iter().next()?;
        let one = burn::tensor::Tensor::<1>::from_data(TensorData::new(vec![1.0_f32], [1]), &device);
        let two = (one.clone() + one).into_data().try_into_vec::<f32>().ok()?;
        (two == [2.0]).then_some(device)
    });
    match opened {
        Ok(Some(device)) => Ok((device, choice)),
        Ok(None) => Err(missing(
            "no such device was found; `headspan doctor` lists what is there, `--device cpu` works everywhere",
        )),
        Err(_panic) => Err(missing("its driver failed at the first operation; `--device cpu` works everywhere")),
    }
}
