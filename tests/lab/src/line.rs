//! A line that is late, slow, out of order or loses frames: a small process of the lab between a machine's port and the switch.
//!
//! The port is moved to a bridge of its own, and frames are carried between that bridge and the switch's by two TAP devices, each when
//! its time has come. Done here and not by the kernel's netem, which not every kernel has: so a line is as bad on every computer.
//!
//! Guarantees: both ends of a connection stay as they are; when the process is gone nothing gets through, until the line is mended.

mod shape;

use std::fs;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

use crate::command::start_own;
use crate::fault::BadLine;
use crate::net::{self, BRIDGE, SWITCH};
use crate::{cgroup, paths, wait};
use shape::{Shape, Wire};

/// The hidden subcommand.
pub(crate) const SUBCOMMAND: &str = "line";
/// How long the process may take until it carries.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// A frame of Ethernet with 1,500 bytes in it, a tag, and room to see that one was longer.
const FRAME: usize = 2_048;

fn bridge(machine: &str) -> String {
    format!("bad-{machine}")
}

fn group(machine: &str) -> String {
    format!("line-{machine}")
}

/// Makes a machine's line bad, and only as bad as said.
pub(crate) fn spoil(machine: &str, line: &BadLine) -> Result<()> {
    Shape::of(line)?;
    mend(machine)?;
    start_own(&[&[SUBCOMMAND, machine], line.words().as_slice()].concat())?;
    let said = wait::until(READY_WITHIN, || {
        fs::read_to_string(paths::line(machine)).map_err(|_| format!("the line to {machine} does not carry yet"))
    })?;
    if !said.is_empty() {
        mend(machine)?;
        bail!("the line to {machine} cannot be made bad: {said}");
    }
    Ok(())
}

/// Makes it good again; does nothing where it is.
pub(crate) fn mend(machine: &str) -> Result<()> {
    let (bad, ports) = (bridge(machine), net::ports()?);
    if ports.iter().any(|port| port.name == machine && port.bridge.as_ref() == Some(&bad)) {
        net::batch(SWITCH, &format!("link set {machine} master {BRIDGE}\n"))?;
    }
    if ports.iter().any(|port| port.name == bad) {
        net::batch(SWITCH, &format!("link del {bad}\n"))?;
    }
    cgroup::kill(&group(machine))?; // the devices go with it
    let _ = fs::remove_file(paths::line(machine)); // usually not there
    Ok(())
}

/// Carries frames until it is killed: the body of the hidden subcommand.
pub(crate) fn serve(machine: &str, line: &BadLine) -> Result<()> {
    let _ = nix::unistd::setsid(); // fails only where it is done already
    cgroup::join(&group(machine))?;
    let carrying = carry(machine, line);
    let new = paths::line(machine).with_extension("new");
    fs::write(&new, carrying.as_ref().err().map(|error| format!("{error:#}")).unwrap_or_default())?;
    fs::rename(&new, paths::line(machine))?;
    for thread in carrying? {
        let _ = thread.join(); // it ends when its device is gone
    }
    Ok(())
}

fn carry(machine: &str, line: &BadLine) -> Result<Vec<thread::JoinHandle<()>>> {
    let shape = Shape::of(line)?;
    net::enter(SWITCH)?;
    // The machine's side and the switch's.
    let (far, near) = (tap(&format!("far-{machine}"))?, tap(&format!("near-{machine}"))?);
    let mut threads = one_way(shape, &far, &near);
    threads.extend(one_way(shape, &near, &far));
    let bad = bridge(machine);
    net::batch(
        SWITCH,
        &format!(
            "link add {bad} type bridge stp_state 0 mcast_snooping 0\n\
             link set {bad} up\n\
             link set far-{machine} master {bad}\n\
             link set far-{machine} up\n\
             link set near-{machine} master {BRIDGE}\n\
             link set near-{machine} up\n\
             link set {machine} master {bad}\n"
        ),
    )?;
    Ok(threads)
}

fn tap(name: &str) -> Result<Arc<SyncDevice>> {
    let device = DeviceBuilder::new().name(name).layer(Layer::L2).build_sync();
    Ok(Arc::new(device.with_context(|| format!("cannot make the TAP device {name} (does this kernel have tun?)"))?))
}

/// A wire, and whoever waits for the next frame of it.
struct Way {
    wire: Mutex<Wire>,
    put: Condvar,
    began: Instant,
}

#[expect(clippy::disallowed_methods, reason = "frames arrive in real time, and nothing is decided here: the wire is told the time")]
fn one_way(shape: Shape, from: &Arc<SyncDevice>, to: &Arc<SyncDevice>) -> Vec<thread::JoinHandle<()>> {
    let way = Arc::new(Way { wire: Mutex::new(Wire::new(shape)), put: Condvar::new(), began: Instant::now() });
    let (reads, from) = (Arc::clone(&way), Arc::clone(from));
    let to = Arc::clone(to);
    vec![thread::spawn(move || reads.take_in(&from)), thread::spawn(move || way.give_out(&to))]
}

impl Way {
    fn take_in(&self, from: &SyncDevice) {
        let mut frame = [0; FRAME];
        while let Ok(length) = from.recv(&mut frame) {
            let mut wire = self.wire.lock().unwrap_or_else(PoisonError::into_inner);
            wire.put(self.began.elapsed(), &frame[..length], [fastrand::f64(), fastrand::f64()]);
            drop(wire);
            self.put.notify_one();
        }
    }

    fn give_out(&self, to: &SyncDevice) {
        let mut wire = self.wire.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let now = self.began.elapsed();
            if let Some(frame) = wire.take(now) {
                drop(wire);
                let _ = to.send(&frame); // a device that is down loses it, as a cable that is out does
                wire = self.wire.lock().unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            wire = match wire.next() {
                Some(arrives) => {
                    let waited = self.put.wait_timeout(wire, arrives.saturating_sub(now));
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.put.wait(wire).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}
