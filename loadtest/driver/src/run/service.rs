//! Who serves a run: one that is there already, or one of our own.

use std::sync::{Arc, Mutex};

use anyhow::{Result, bail};
use eagre_faults::{Fault, Proxy};
use eagre_report::Target;
use tokio::task::spawn_blocking;

use super::{
    actions::{Own, lock},
    execute::Plan,
    watched::Watched,
};
use crate::{
    client::{Address, Client},
    system::{
        machine,
        server::{self, DevServer},
    },
};

/// See the module.
pub struct Service {
    /// Started by us, so that it may be killed and started again.
    pub own: Option<Own>,
    /// Speaks to it, through the proxy where there is one.
    pub client: Client,
    /// For the report.
    pub target: Target,
    /// What it uses.
    pub watched: Arc<Watched>,
    /// Breaks its promises.
    pub proxy: Option<Proxy>,
}

impl Service {
    /// One that is there already. Fails when nobody answers, and when what was to be watched cannot be.
    pub async fn given(plan: &Plan) -> Result<Self> {
        let watched = Arc::new(Watched::new(plan.server_pid, plan.metrics.clone()));
        spawn_blocking({
            let watched = watched.clone();
            move || watched.check()
        })
        .await??;
        Self::behind(plan, plan.address.clone(), None, watched).await
    }

    /// One of our own, over a temporary folder below that of the run.
    pub async fn started(plan: &Plan) -> Result<Self> {
        let (parent, options) = (plan.out.clone(), plan.dev_options.clone());
        let server = spawn_blocking(move || DevServer::start(&server::find_binary()?, &parent, &options)).await??;
        let watched = Arc::new(Watched::new(server.pid(), Some(server.http.clone())));
        let address = Address::Grpc(server.grpc.clone());
        Self::behind(plan, address, Some(Arc::new(Mutex::new(server))), watched).await
    }

    async fn behind(plan: &Plan, address: Address, own: Option<Own>, watched: Arc<Watched>) -> Result<Self> {
        let (proxy, address) = between(plan.fault, address, plan.scenario.seed).await?;
        let client = Client::connect(&address).await?;
        let (kind, hosts) = match &address {
            Address::Kafka(hosts) => ("kafka", hosts),
            Address::Grpc(hosts) => ("eagre", hosts),
            Address::Own => bail!("a service of our own has an address by now"),
        };
        let name = match (&plan.name, &own) {
            (Some(name), _) => name.clone(),
            (None, Some(_)) => name_of_own(&plan.dev_options),
            (None, None) => kind.to_owned(),
        };
        let target = Target { kind: kind.into(), address: hosts.clone(), started_here: own.is_some(), name };
        Ok(Self { own, client, target, watched, proxy })
    }

    /// Of its bucket, where that is a folder of ours.
    pub async fn disk_bytes(&self) -> Option<u64> {
        let folder = lock(self.own.as_ref()?).folder();
        if !folder.is_dir() {
            return None;
        }
        spawn_blocking(move || machine::folder_bytes(&folder)).await.ok()
    }
}

fn name_of_own(options: &[String]) -> String {
    let over = if options.iter().any(|option| option.starts_with("--bucket")) { "" } else { "over a folder" };
    let words = ["eagre dev", over].into_iter().chain(options.iter().map(String::as_str));
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Puts a fault between the load and an address.
async fn between(fault: Option<Fault>, address: Address, seed: u64) -> Result<(Option<Proxy>, Address)> {
    match (fault, address) {
        (None, address) => Ok((None, address)),
        (Some(fault), Address::Grpc(hosts)) => {
            let proxy = Proxy::start("127.0.0.1:0", &format!("http://{hosts}"), fault, seed).await?;
            let address = proxy.address().trim_start_matches("http://").to_owned();
            Ok((Some(proxy), Address::Grpc(address)))
        }
        (Some(_), _) => bail!("faults are put between the load and a grpc:// target"),
    }
}
