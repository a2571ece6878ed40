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
        let started = match look(process) {
            Seen::Started(started) => started,
            Seen::Gone | Seen::Unknown => 0,
        };
        Self { machine: machine(), process, started }
    }

    /// Whether that process is certainly gone: it ran on this machine, in this boot and namespace, and is not there any
    /// more. False whenever that cannot be told.
    pub fn is_known_dead(&self, other: &HostIdentity) -> bool {
        if self.machine.is_empty() || self.machine != other.machine || other.started == 0 {
            return false;
        }
        match look(other.process) {
            Seen::Started(started) => started != other.started,
            Seen::Gone => true,
            Seen::Unknown => false,
        }
    }
}

/// Lets this process have as many files and sockets open as the system's administrator allows, where a shell's default is
/// lower; returns how many. It stays as it is where the system says no.
pub fn raise_open_files_max() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let holds = if setrlimit(Resource::Nofile, raised).is_ok() { raised } else { limit };
    holds.current.unwrap_or(u64::MAX)
}

/// What `/proc` says of a process id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// A process that started then.
    Started(u64),
    /// Nobody, or somebody who is dead already.
    Gone,
    /// It does not say: no file handle, no right to look.
    Unknown,
}

fn machine() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    let namespace = std::fs::read_link("/proc/self/ns/pid");
    match (boot, namespace) {
        (Ok(boot), Ok(namespace)) => format!("{}/{}", boot.trim(), namespace.display()),
        _ => String::new(),
    }
}

fn look(process: u32) -> Seen {
    match std::fs::read_to_string(format!("/proc/{process}/stat")) {
        Ok(stat) => parse(&stat),
        Err(error) if is_absence(&error) && shows_others() => Seen::Gone,
        Err(_) => Seen::Unknown,
    }
}

fn is_absence(error: &std::io::Error) -> bool {
    // A process that ends between opening and reading.
    let no_such_process = rustix::io::Errno::SRCH.raw_os_error();
    error.kind() == std::io::ErrorKind::NotFound || error.raw_os_error() == Some(no_such_process)
}

/// Where `/proc` hides the processes of others (`hidepid`), that one is absent means nothing.
fn shows_others() -> bool {
    std::fs::read_to_string("/proc/1/stat").is_ok()
}

/// Field 3 of `/proc/<pid>/stat` is the state, field 22 the start.
fn parse(stat: &str) -> Seen {
    // The second field is the command in parentheses and may hold spaces; the state follows.
    let Some((_, rest)) = stat.rsplit_once(") ") else { return Seen::Unknown };
    let mut fields = rest.split(' ');
    if matches!(fields.next(), Some("Z" | "X")) {
        return Seen::Gone;
    }
    fields.nth(18).and_then(|started| started.parse().ok()).map_or(Seen::Unknown, Seen::Started)
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
        let Seen::Started(started) = look(child.id()) else { panic!("the child runs") };
        let other = HostIdentity { process: child.id(), started, ..me.clone() };
        assert!(!me.is_known_dead(&other));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(me.is_known_dead(&other));
    }

    #[test]
    fn only_absence_is_death() {
        assert_eq!(parse("1 (a ) b) S 0 1 1 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 77 0"), Seen::Started(77));
        assert_eq!(parse("1 (a) Z 0 1 1 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 77 0"), Seen::Gone);
        assert_eq!(parse("garbage"), Seen::Unknown);
        assert!(is_absence(&std::io::ErrorKind::NotFound.into()));
        assert!(is_absence(&rustix::io::Errno::SRCH.into()));
        for unknown in [rustix::io::Errno::MFILE, rustix::io::Errno::ACCESS, rustix::io::Errno::NOMEM] {
            assert!(!is_absence(&unknown.into()), "{unknown}");
        }
    }
}
