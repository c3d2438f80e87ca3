use std::{fmt, panic, str::FromStr, sync::Arc};

use burn::tensor::{Device, DeviceKind, DeviceType, TensorData};
use serde::{Deserialize, Serialize};

use crate::{
    backends::cuda::{Card, CudaProblem, cards},
    device_memory::free_device_memory,
    error::{ClipError, DeviceProblem, Result},
};

/// Where the model runs: `auto`, `cpu`, `wgpu`, `cuda`, or with the number of one of several GPUs, `wgpu:1`, `cuda:3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceChoice {
    /// A GPU through wgpu, else the CPU. Not CUDA: that pass has never met a card (docs/compatibility.md).
    #[default]
    Auto,
    /// Our own passes, and Burn's flex backend.
    Cpu,
    /// A GPU through wgpu (Vulkan, Metal or DirectX), from 0 in the order of `headspan doctor`.
    Wgpu(usize),
    /// An NVIDIA GPU through our own pass for CUDA, from 0. Texts are encoded on the CPU.
    Cuda(usize),
}

impl DeviceChoice {
    /// Whether it is no CPU.
    pub fn is_gpu(self) -> bool {
        matches!(self, Self::Wgpu(_) | Self::Cuda(_))
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Wgpu(0) => f.write_str("wgpu"),
            Self::Cuda(0) => f.write_str("cuda"),
            Self::Wgpu(number) => write!(f, "wgpu:{number}"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = String;

    /// In any case: `CPU` is `cpu`.
    fn from_str(name: &str) -> Result<Self, String> {
        let lower = name.trim().to_ascii_lowercase();
        let (kind, number) =
            lower.split_once(':').map_or((lower.as_str(), None), |(kind, number)| (kind, Some(number)));
        let numbered = number.unwrap_or("0").parse();
        match (kind, number, numbered) {
            ("auto", None, _) => Ok(Self::Auto),
            ("cpu", None, _) => Ok(Self::Cpu),
            ("wgpu", _, Ok(number)) => Ok(Self::Wgpu(number)),
            ("cuda", _, Ok(number)) => Ok(Self::Cuda(number)),
            _ => Err(format!(
                "unknown device `{name}`: expected auto, cpu, wgpu or cuda, or one of several GPUs such as `cuda:1`"
            )),
        }
    }
}

impl TryFrom<String> for DeviceChoice {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        name.parse()
    }
}

impl From<DeviceChoice> for String {
    fn from(choice: DeviceChoice) -> Self {
        choice.to_string()
    }
}

/// One device that could be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceDescription {
    /// What to ask for to get it.
    pub kind: DeviceChoice,
    /// Name as the driver gives it.
    pub name: String,
}

/// Every device that this build can reach here.
pub fn available_devices() -> Vec<DeviceDescription> {
    let described = |(number, name)| DeviceDescription { kind: DeviceChoice::Cuda(number), name };
    let mut devices: Vec<_> = cards().unwrap_or_default().into_iter().enumerate().map(described).collect();
    devices.extend(listed(DeviceChoice::Wgpu, graphics_devices));
    devices.push(DeviceDescription { kind: DeviceChoice::Cpu, name: "flex".to_owned() });
    devices
}

/// Why CUDA cannot be used here: which of NVIDIA's libraries is missing, and where it was looked for. None where it can be.
pub fn cuda_problem() -> Option<CudaProblem> {
    cards().err()
}

fn listed(
    kind: fn(usize) -> DeviceChoice,
    devices: impl FnOnce() -> Vec<Device> + panic::UnwindSafe,
) -> Vec<DeviceDescription> {
    // Drivers that are half installed make the enumeration panic; then there is no such device.
    let devices = panic::catch_unwind(devices).unwrap_or_default();
    let name = |device: &Device| {
        let note = if is_software(device) { ", a software renderer: `auto` passes it over" } else { "" };
        format!("{device:?}{note}")
    };
    let numbered = devices.iter().enumerate();
    numbered.map(|(number, device)| DeviceDescription { kind: kind(number), name: name(device) }).collect()
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

/// A device that was opened. Models are loaded on one.
#[derive(Clone)]
pub struct OpenDevice {
    choice: DeviceChoice,
    device: Device,
    /// The card, where it is by CUDA. Burn's device is the CPU then.
    card: Option<Arc<Card>>,
}

impl OpenDevice {
    /// The CPU, which is always there.
    pub fn cpu() -> Self {
        Self { choice: DeviceChoice::Cpu, device: Device::flex(), card: None }
    }

    /// What was opened, never `Auto`.
    pub fn choice(&self) -> DeviceChoice {
        self.choice
    }

    /// Burn's handle: what Burn computes on. That is the CPU beside a card by CUDA.
    pub fn burn(&self) -> &Device {
        &self.device
    }

    pub(crate) fn card(&self) -> Option<&Arc<Card>> {
        self.card.as_ref()
    }

    /// Bytes that are free on its card, where the driver tells.
    pub(crate) fn free_memory(&self) -> Option<u64> {
        self.card.as_ref().map_or_else(|| free_device_memory(&self.device), |card| card.free_memory())
    }
}

/// Opens a device and proves with a small computation that it computes, since a GPU that is not there shows only then.
pub fn open_device(choice: DeviceChoice) -> Result<OpenDevice> {
    match choice {
        DeviceChoice::Cpu => Ok(OpenDevice::cpu()),
        DeviceChoice::Wgpu(number) => open_listed(choice, number, graphics_devices),
        DeviceChoice::Cuda(number) => open_cuda(number),
        DeviceChoice::Auto => Ok(open_listed(DeviceChoice::Wgpu(0), 0, || {
            graphics_devices().into_iter().filter(|device| !is_software(device)).collect()
        })
        .unwrap_or_else(|_no_gpu| OpenDevice::cpu())),
    }
}

fn open_cuda(number: usize) -> Result<OpenDevice> {
    let choice = DeviceChoice::Cuda(number);
    match Card::open(number) {
        Ok(card) => Ok(OpenDevice { choice, device: Device::flex(), card: Some(card) }),
        Err(problem) => Err(ClipError::NoDevice { wanted: choice.to_string(), source: problem.into() }),
    }
}

fn open_listed(
    choice: DeviceChoice,
    number: usize,
    list: impl FnOnce() -> Vec<Device> + panic::UnwindSafe,
) -> Result<OpenDevice> {
    let missing = |source| ClipError::NoDevice { wanted: choice.to_string(), source };
    let opened = panic::catch_unwind(|| {
        let device = list().into_iter().nth(number)?;
        let one = burn::tensor::Tensor::<1>::from_data(TensorData::new(vec![1.0_f32], [1]), &device);
        let two = (one.clone() + one).into_data().try_into_vec::<f32>().ok()?;
        (two == [2.0]).then_some(device)
    });
    match opened {
        Ok(Some(device)) => Ok(OpenDevice { choice, device, card: None }),
        Ok(None) => Err(missing(DeviceProblem::NotFound)),
        Err(_panic) => Err(missing(DeviceProblem::DriverFailed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_devices_are_read_as_they_are_written() {
        use DeviceChoice::{Auto, Cpu, Cuda, Wgpu};
        for (name, choice) in [
            ("auto", Auto),
            ("cpu", Cpu),
            ("wgpu", Wgpu(0)),
            ("cuda", Cuda(0)),
            ("wgpu:2", Wgpu(2)),
            ("cuda:11", Cuda(11)),
        ] {
            assert_eq!((name.parse(), choice.to_string()), (Ok(choice), name.to_owned()));
        }
        for wrong in ["gpu", "cpu:1", "auto:0", "cuda:", "wgpu:one", "cuda:-1"] {
            let refused = wrong.parse::<DeviceChoice>();
            assert!(refused.as_ref().is_err_and(|error| error.contains(wrong)), "{refused:?}");
        }
    }
}
