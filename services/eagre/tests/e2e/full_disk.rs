//! A full disk: acks fail clearly, reads go on, and it recovers by itself when space is back.

use std::{fs, io::Write, path::PathBuf, process::Command};

use crate::support::{Log, Produce, Server, acks, dev, finish, wait_until};

/// A server over a small file system of its own. The mount lives in the server's mount namespace and goes with it.
struct SmallDisk {
    server: Server,
    ballast: PathBuf,
    _mount_point: tempfile::TempDir,
}

impl SmallDisk {
    fn start(size: &str) -> Self {
        let mount_point = tempfile::tempdir().unwrap();
        let disk = mount_point.path().to_str().unwrap();
        let may_mount = Command::new("unshare").args(["--mount", "mount", "-t", "tmpfs", "eagre", disk]).output();
        let may_mount = may_mount.expect("unshare (util-linux) is needed for this test");
        assert!(
            may_mount.status.success(),
            "this test mounts a tmpfs in a mount namespace of its own: run it as root or with CAP_SYS_ADMIN \
             (in a container: --cap-add SYS_ADMIN): {may_mount:?}"
        );
        let dev = dev(&format!("{disk}/bucket"), "127.0.0.1:0", "127.0.0.1:0");
        let script = r#"mount -t tmpfs -o "size=$1" eagre "$2" && shift 2 && exec "$@""#;
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script, "sh", size, disk]).arg(dev.get_program()).args(dev.get_args());
        let server = Server::spawn(&mut command);
        let ballast = PathBuf::from(format!("/proc/{}/root{disk}/ballast", server.pid()));
        Self { server, ballast, _mount_point: mount_point }
    }

    /// Takes all space that is left.
    fn fill(&self) {
        let mut ballast = fs::File::create(&self.ballast).unwrap();
        for chunk in [1 << 20, 4_096] {
            while ballast.write_all(&vec![7; chunk]).is_ok() {}
        }
    }

    fn free(&self) {
        fs::remove_file(&self.ballast).unwrap();
    }
}

fn lines(from: usize, to: usize) -> Vec<String> {
    (from..=to).map(|number| format!("line {number} {:.<500}", "")).collect()
}

#[test]
#[ignore = "mounts a small tmpfs, for which it needs CAP_SYS_ADMIN; .ci/run runs it"]
fn full_disk_fails_acks_keeps_reads_and_recovers() {
    let elsewhere = tempfile::tempdir().unwrap();
    let file = |name: &str| elsewhere.path().join(name);
    let disk = SmallDisk::start("96m");
    let server = &disk.server;
    server.run(&["topic", "create", "t", "--partitions", "2"]);
    let before = lines(1, 2_000);
    fs::write(file("before"), before.join("\n")).unwrap();
    let (input, acked_before) = (file("before"), file("acks-before"));
    server.run(&["produce", "t", "--file", input.to_str().unwrap(), "--acks-to", acked_before.to_str().unwrap()]);
    assert_eq!(acks(&acked_before).len(), 2_000);

    disk.fill();
    let during = lines(2_001, 4_000);
    fs::write(file("during"), during.join("\n")).unwrap();
    let (input, acked_during) = (file("during"), file("acks-during"));
    let arguments = ["produce", "t", "--delivery-timeout", "3s", "--file", input.to_str().unwrap(), "--acks-to"];
    let arguments = [&arguments[..], &[acked_during.to_str().unwrap()]].concat();
    let output = finish(server.client(&arguments).spawn().unwrap(), "eagre produce on a full disk");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(!output.stderr.is_empty(), "it says what was not acked");
    let refused = during.len() - acks(&acked_during).len();
    assert!(refused > 0, "2,000 lines fitted on a full disk");

    // Reads go on: everything acked is there.
    let log = server.read_all("t");
    log.assert_acked(&acks(&acked_before), &before);
    log.assert_acked(&acks(&acked_during), &during);
    assert_eq!(server.get("/healthz").unwrap().0, 200);

    // A producer that waits for space gets its acks as soon as there is some, without a restart.
    let acked_after = file("acks-after");
    let mut waiting = Produce::start(&server.endpoint(), &["t", "--acks-to", acked_after.to_str().unwrap()]);
    let after = lines(4_001, 5_000);
    after.iter().for_each(|line| waiting.line(line));
    disk.free();
    wait_until("acks come again once there is space", || !acks(&acked_after).is_empty());
    let output = waiting.finish();
    assert!(output.status.success(), "{output:?}");
    let log = server.read_all("t");
    for (acked, lines) in [(&acked_before, &before), (&acked_during, &during), (&acked_after, &after)] {
        log.assert_acked(&acks(acked), lines);
    }
    assert_eq!(acks(&acked_after).len(), after.len());
    assert_no_line_twice(&log);
    println!("{refused} of 2000 records were refused while the disk was full; all acked ones are there");
}

fn assert_no_line_twice(log: &Log) {
    let mut values: Vec<&str> = log.values().collect();
    values.sort_unstable();
    assert!(values.is_sorted_by(|one, next| one < next), "a line is there twice");
}
