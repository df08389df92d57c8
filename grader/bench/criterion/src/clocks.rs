//! The clocks.

use std::time::Duration;

use criterion::Throughput;
use criterion::measurement::{Measurement, ValueFormatter};
use tokio::runtime::Handle;
use tokio::time::Instant;

/// Measures tokio's clock. On a paused runtime that is virtual time, exact to the clock's grain of a
/// millisecond.
///
/// Use it with [`to_async`](criterion::Bencher::to_async) and [`bench_kit::paused::runtime`]. Outside of
/// a runtime tokio's clock is the real one, which is why measuring there panics.
#[derive(Debug, Clone, Copy)]
pub struct VirtualTime;

impl Measurement for VirtualTime {
    type Intermediate = Instant;
    type Value = Duration;

    /// # Panics
    ///
    /// Outside of a tokio runtime.
    fn start(&self) -> Instant {
        assert!(Handle::try_current().is_ok(), "virtual time passes on a paused runtime only");
        Instant::now()
    }

    fn end(&self, begin: Instant) -> Duration {
        begin.elapsed()
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_secs_f64() * 1000.0
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        &VirtualMilliseconds
    }
}

/// Measures the CPU time of the thread.
#[derive(Debug, Clone, Copy)]
pub struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        bench_kit::cpu::thread_time()
    }

    fn end(&self, begin: Duration) -> Duration {
        bench_kit::cpu::thread_time().saturating_sub(begin)
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_secs_f64() * 1e9
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        &CpuNanoseconds
    }
}

struct VirtualMilliseconds;

impl ValueFormatter for VirtualMilliseconds {
    fn scale_values(&self, _typical: f64, _values: &mut [f64]) -> &'static str {
        "virtual ms"
    }

    fn scale_throughputs(
        &self,
        _typical: f64,
        throughput: &Throughput,
        values: &mut [f64],
    ) -> &'static str {
        per_second(throughput, values, 1e3)
    }

    fn scale_for_machines(&self, _values: &mut [f64]) -> &'static str {
        "ms"
    }
}

struct CpuNanoseconds;

impl ValueFormatter for CpuNanoseconds {
    fn scale_values(&self, typical: f64, values: &mut [f64]) -> &'static str {
        let (unit, name) = match typical {
            ..1e3 => (1.0, "CPU ns"),
            ..1e6 => (1e3, "CPU us"),
            ..1e9 => (1e6, "CPU ms"),
            _ => (1e9, "CPU s"),
        };
        values.iter_mut().for_each(|value| *value /= unit);
        name
    }

    fn scale_throughputs(
        &self,
        _typical: f64,
        throughput: &Throughput,
        values: &mut [f64],
    ) -> &'static str {
        per_second(throughput, values, 1e9)
    }

    fn scale_for_machines(&self, _values: &mut [f64]) -> &'static str {
        "ns"
    }
}

/// Turns times, of which `second` make a second, into amounts for each second.
fn per_second(throughput: &Throughput, values: &mut [f64], second: f64) -> &'static str {
    let (amount, name) = match *throughput {
        Throughput::Elements(amount) => (amount, "/s"),
        Throughput::Bytes(amount) | Throughput::BytesDecimal(amount) => (amount, "B/s"),
        Throughput::Bits(amount) => (amount, "bit/s"),
        Throughput::ElementsAndBytes { elements, .. } => (elements, "/s"),
    };
    values.iter_mut().for_each(|value| *value = amount as f64 * second / *value);
    name
}
