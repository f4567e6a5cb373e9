//! The machine: what it is, and how busy others keep it.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::unistd::{SysconfVar, sysconf};
use serde::Serialize;

/// What figures depend on.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Its processor, as the kernel names it.
    pub processor: String,
    /// How many of them.
    pub cpus: usize,
    /// The kernel's release.
    pub kernel: String,
    /// The most bytes that a socket's receive buffer may have.
    pub largest_recv_buffer: u64,
}

impl Machine {
    /// Asks the kernel.
    pub fn look() -> Result<Machine> {
        let info = read("/proc/cpuinfo")?;
        let named = |key: &str| {
            let line = info.lines().find(|line| line.starts_with(key))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        Ok(Machine {
            processor: named("model name").unwrap_or_else(|| "unknown".to_owned()),
            cpus: info.lines().filter(|line| line.starts_with("processor")).count(),
            kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            largest_recv_buffer: read("/proc/sys/net/core/rmem_max")?.trim().parse()?,
        })
    }
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| path.to_owned())
}

/// Time that some CPUs have been busy so far, whoever it was for; what the hypervisor took counts too.
pub fn busy(cpus: &BTreeSet<usize>) -> Result<Duration> {
    let ticks_per_second = sysconf(SysconfVar::CLK_TCK)?.context("no clock tick")? as f64;
    let text = read("/proc/stat")?;
    let mut ticks = 0;
    for cpu in cpus {
        let label = format!("cpu{cpu} ");
        let line = text.lines().find_map(|line| line.strip_prefix(label.as_str()));
        let fields: Vec<u64> = line
            .with_context(|| format!("CPU {cpu} is not in /proc/stat"))?
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        // user nice system idle iowait irq softirq steal; guest time is part of user.
        ticks += fields.iter().take(8).sum::<u64>() - fields.iter().skip(3).take(2).sum::<u64>();
    }
    Ok(Duration::from_secs_f64(ticks as f64 / ticks_per_second))
}
