//! Which machine and process this is, so that a dead lease-holder on the same machine is known to be dead.

/// Identity of a process for its neighbours on the same machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostIdentity {
    /// Differs between machines, boots and process-id namespaces; empty where the system does not tell.
    pub machine: String,
    /// Process id within the namespace.
    pub process: u32,
    /// Start of the process in clock ticks since boot: tells a reused process id from the first.
    pub started: u64,
}

impl HostIdentity {
    /// This process, as `/proc` tells it.
    pub fn of_this_process() -> Self {
        let process = std::process::id();
        Self { machine: machine(), process, started: started(process).unwrap_or(0) }
    }

    /// Whether that process is certainly gone: it ran on this machine, in this boot and namespace, and is not there any
    /// more. False whenever that cannot be told.
    pub fn is_known_dead(&self, other: &HostIdentity) -> bool {
        let same_machine = !self.machine.is_empty() && self.machine == other.machine;
        same_machine && other.started != 0 && started(other.process) != Some(other.started)
    }
}

fn machine() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    let namespace = std::fs::read_link("/proc/self/ns/pid");
    match (boot, namespace) {
        (Ok(boot), Ok(namespace)) => format!("{}/{}", boot.trim(), namespace.display()),
        _ => String::new(),
    }
}

/// Field 22 of `/proc/<pid>/stat`; `None` when there is no such process or it is a zombie.
fn started(process: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The second field is the command in parentheses and may hold spaces; the state follows.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_living_are_not_dead() {
        let me = HostIdentity::of_this_process();
        assert!(!me.is_known_dead(&me));
        let gone = HostIdentity { started: me.started + 1, ..me.clone() };
        assert!(me.is_known_dead(&gone), "the id was reused");
        let elsewhere = HostIdentity { machine: "another".into(), ..gone };
        assert!(!me.is_known_dead(&elsewhere), "nothing is known of another machine");
    }

    #[test]
    fn a_killed_child_is_known_dead() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let me = HostIdentity::of_this_process();
        let other = HostIdentity { process: child.id(), started: started(child.id()).unwrap(), ..me.clone() };
        assert!(!me.is_known_dead(&other));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(me.is_known_dead(&other));
    }
}
