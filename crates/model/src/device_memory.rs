use burn::tensor::Device;

/// Bytes that are free on the card of a device, where its driver tells: NVIDIA's through NVML, AMD's through the kernel, both on
/// Linux alone. None for a CPU, for a software renderer, and where nothing is known.
pub(crate) fn free_device_memory(device: &Device) -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        let address = device.identity()?.physical?.pci_address?.to_string();
        of_nvidia(&address).or_else(|| of_amd(std::path::Path::new("/sys/bus/pci/devices"), &address))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = device;
        None
    }
}

#[cfg(target_os = "linux")]
fn of_nvidia(address: &str) -> Option<u64> {
    let nvml = nvml_wrapper::Nvml::init().ok()?;
    let card = nvml.device_by_pci_bus_id(address).ok()?;
    Some(card.memory_info().ok()?.free)
}

#[cfg(target_os = "linux")]
fn of_amd(devices: &std::path::Path, address: &str) -> Option<u64> {
    let read = |name: &str| -> Option<u64> {
        let path = devices.join(address).join(name);
        fs_err::read_to_string(path).ok()?.trim().parse().ok()
    };
    read("mem_info_vram_total")?.checked_sub(read("mem_info_vram_used")?)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_tells_of_a_card_is_read() -> std::io::Result<()> {
        let devices = tempfile::tempdir()?;
        let card = devices.path().join("0000:03:00.0");
        fs_err::create_dir(&card)?;
        fs_err::write(card.join("mem_info_vram_total"), "17163091968\n")?;
        assert_eq!(of_amd(devices.path(), "0000:03:00.0"), None, "half of it is not enough");
        fs_err::write(card.join("mem_info_vram_used"), "1163091968\n")?;
        assert_eq!(of_amd(devices.path(), "0000:03:00.0"), Some(16_000_000_000));
        assert_eq!(of_amd(devices.path(), "0000:04:00.0"), None);
        Ok(())
    }

    #[test]
    fn a_cpu_has_no_card() {
        assert_eq!(free_device_memory(&Device::flex()), None);
    }
}
