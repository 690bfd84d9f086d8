//! A Cluster of three nodes, and a master that falls while Sentinels watch.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use super::{MemoryLog, empty, replica};
use crate::verification::store::conformance::fixtures::{NOW, SERVICE, attempt, start, verification};
use crate::verification::store::{AttemptOutcome, Sending, Store, conformance};

/// Servers on ports of their own; they go away with the test.
struct Servers {
    directory: tempfile::TempDir,
    children: Vec<Child>,
}

impl Servers {
    fn new() -> Servers {
        Servers { directory: tempfile::tempdir().expect("a directory"), children: Vec::new() }
    }

    fn start(&mut self, port: u16, arguments: &[&str]) {
        let directory = self.directory.path().join(port.to_string());
        std::fs::create_dir_all(&directory).expect("a directory");
        let mut command = Command::new("redis-server");
        let port = port.to_string();
        command.args(arguments).args(["--port", &port, "--bind", "127.0.0.1", "--dir"]).arg(&directory).args(["--save", ""]);
        self.children.push(command.stdout(Stdio::null()).spawn().expect("redis-server is installed"));
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill().and_then(|()| child.wait());
        }
    }
}

/// Ports that were free a moment ago, the bus of a cluster's node (10,000 higher) among them.
fn ports(count: usize) -> Vec<u16> {
    let free = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
    let first = 20_000 + (std::process::id() % 1_000) as u16 * 10;
    (first..).filter(|port| free(*port) && free(port + 10_000)).take(count).collect()
}

async fn answers(port: u16) {
    for _ in 0..500 {
        if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{port} does not answer");
}

fn cli(arguments: &[String]) -> String {
    let output = Command::new("redis-cli").args(arguments).output().expect("redis-cli is installed");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn the_store_conforms_on_a_cluster() {
    let (mut servers, ports) = (Servers::new(), ports(3));
    for port in &ports {
        servers.start(*port, &["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"]);
    }
    for port in &ports {
        answers(*port).await;
    }
    let nodes = ports.iter().map(|port| format!("127.0.0.1:{port}"));
    let create = ["--cluster".to_owned(), "create".to_owned()].into_iter().chain(nodes.clone());
    cli(&create.chain(["--cluster-yes".to_owned()]).collect::<Vec<_>>());
    for _ in 0..200 {
        if cli(&["-p".into(), ports[0].to_string(), "cluster".into(), "info".into()]).contains("cluster_state:ok") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let url = format!("redis-cluster://{}", nodes.collect::<Vec<_>>().join(","));
    conformance::run_all(async || empty(&url) as Arc<dyn Store>).await;
}

/// R11: the master falls; the store goes on with the one that Sentinels name, and counts on where it was.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_fail_over_is_followed() {
    let (mut servers, ports) = (Servers::new(), ports(3));
    let [master, second, sentinel] = [ports[0], ports[1], ports[2]];
    servers.start(master, &[]);
    answers(master).await;
    servers.start(second, &["--replicaof", &format!("127.0.0.1 {master}")]);
    answers(second).await;
    let file = servers.directory.path().join("sentinel.conf");
    let watch = format!(
        "sentinel monitor main 127.0.0.1 {master} 1\nsentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n"
    );
    std::fs::write(&file, watch).expect("written");
    servers.start(sentinel, &[file.to_str().expect("a path"), "--sentinel"]);
    answers(sentinel).await;
    let store = replica(&format!("redis-sentinel://127.0.0.1:{sentinel}/main"), "countersign", &Arc::new(MemoryLog::default()));
    let row = verification(1, 1);
    assert!(matches!(store.start(start(row.clone())).await, Ok(Sending::Queued(..))));
    assert!(matches!(store.attempt(attempt(row.id, NOW)).await, Ok(AttemptOutcome::Judge(_))));
    // The second has it, and the Sentinel knows the second.
    for _ in 0..200 {
        let info = cli(&["-p".into(), master.to_string(), "wait".into(), "1".into(), "1000".into()]);
        let known = cli(&["-p".into(), sentinel.to_string(), "sentinel".into(), "replicas".into(), "main".into()]);
        if info.trim() == "1" && known.contains(&second.to_string()) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    servers.children[0].kill().expect("killed");
    let mut judged = store.attempt(attempt(row.id, NOW)).await;
    for _ in 0..300 {
        if judged.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        judged = store.attempt(attempt(row.id, NOW)).await;
    }
    assert!(matches!(&judged, Ok(AttemptOutcome::Judge(row)) if row.attempts >= 2), "{judged:?}");
    assert!(store.get(SERVICE, row.id).await.expect("an answer").is_some(), "the row is gone");
}
