//! **Purpose**: what this machine has: cores, memory, GPUs, CPU features.
//!
//! **Source**: `sched_getaffinity(2)`, `/proc/meminfo`, `/proc/driver/nvidia/gpus`, `/proc/cpuinfo`.

use std::fs;

use hesper_protos::executor as wire;
use rustix::thread::sched_getaffinity;

use crate::config::{GpuLimit, ResourceLimits};

/// CPU features that kernels choose by, as Linux names them.
const FEATURES: &[&str] = &["sha_ni", "avx2", "avx512f", "avx512ifma", "bmi2", "adx"];

/// What is offered: what is set, the rest as found.
pub(crate) fn offered(limits: &ResourceLimits) -> wire::Resources {
    let gpus = limits.gpus.clone().unwrap_or_else(gpus);
    wire::Resources {
        cores: limits.cores.unwrap_or_else(cores),
        memory_bytes: limits.memory_bytes.unwrap_or_else(memory_bytes),
        gpus: gpus
            .into_iter()
            .map(|gpu| wire::Gpu {
                device: gpu.device,
                model: gpu.model,
                memory_bytes: gpu.memory_bytes,
            })
            .collect(),
        named: limits.named.clone().into_iter().collect(),
    }
}

/// CPU features found, with the configured capabilities.
pub(crate) fn capabilities(configured: &[String]) -> Vec<String> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let mut found = features(&cpuinfo);
    found.extend(configured.iter().cloned());
    found.sort();
    found.dedup();
    found
}

fn cores() -> u32 {
    let allowed = sched_getaffinity(None).map_or(1, |set| set.count());
    allowed.max(1)
}

fn memory_bytes() -> u64 {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    memory_of(&meminfo).unwrap_or(1 << 30)
}

fn memory_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

fn features(cpuinfo: &str) -> Vec<String> {
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    FEATURES
        .iter()
        .filter(|feature| flags.split_whitespace().any(|flag| flag == **feature))
        .map(|feature| (*feature).to_owned())
        .collect()
}

/// GPUs by their driver's directory; their memory is not told there and has to be configured.
fn gpus() -> Vec<GpuLimit> {
    let Ok(entries) = fs::read_dir("/proc/driver/nvidia/gpus") else {
        return Vec::new();
    };
    let mut found: Vec<GpuLimit> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| fs::read_to_string(entry.path().join("information")).ok())
        .filter_map(|information| gpu_of(&information))
        .collect();
    found.sort_by_key(|gpu| gpu.device);
    found
}

fn gpu_of(information: &str) -> Option<GpuLimit> {
    let field = |name: &str| {
        let value = information.lines().find_map(|line| line.strip_prefix(name))?;
        Some(value.trim_start_matches(':').trim().to_owned())
    };
    let device = field("Device Minor")?.parse().ok()?;
    Some(GpuLimit { device, model: field("Model").unwrap_or_default(), memory_bytes: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_tells_is_read() {
        assert_eq!(memory_of("MemFree: 1 kB\nMemTotal:       24 kB\n"), Some(24 * 1024));
        assert_eq!(memory_of("nothing"), None);
        assert_eq!(features("x\nflags\t\t: fpu sha_ni avx2 avx\n"), ["sha_ni", "avx2"]);
        let gpu = gpu_of("Model: \t\t NVIDIA H100\nIRQ: 1\nDevice Minor: \t 3\n").unwrap();
        assert_eq!((gpu.device, gpu.model.as_str()), (3, "NVIDIA H100"));
        assert!(cores() > 0 && memory_bytes() > 0);
    }

    #[test]
    fn what_is_set_wins() {
        let limits = ResourceLimits {
            cores: Some(3),
            memory_bytes: Some(5),
            gpus: Some(Vec::new()),
            named: [("x".to_owned(), 2)].into(),
        };
        let offered = offered(&limits);
        assert_eq!((offered.cores, offered.memory_bytes, offered.named["x"]), (3, 5, 2));
    }
}
