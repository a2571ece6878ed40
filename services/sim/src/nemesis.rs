//! Breaks things by the scenario's plan, and makes them whole again.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use turmoil::Sim;

use crate::{
    bucket::Faults,
    scenario::{Disturbance, Host, Scenario},
    time::SimClock,
    world::World,
};

/// After a death at a point in the code the node starts again after so long.
const DOWN_AFTER_POINT: Duration = Duration::from_millis(300);

pub(crate) struct Nemesis {
    world: Arc<World>,
    nodes: Vec<String>,
    clients: Vec<String>,
    clocks: Vec<SimClock>,
    faults: Faults,
    /// What is to come, the next one last.
    plan: Vec<(Duration, Disturbance)>,
    /// What ends when.
    ends: Vec<(Duration, Ending)>,
    /// Links that are not as they should be.
    links: BTreeMap<(String, String), Broken>,
    /// When a node that is down starts again.
    down: BTreeMap<usize, Duration>,
    pub crashes: u64,
}

/// What is wrong with a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    Partitioned,
    Held,
}

#[derive(Debug, Clone)]
enum Ending {
    Link(String, String),
    GiveBack,
    Faults,
    ReleaseDataWrites,
}

impl Nemesis {
    /// A plan that begins now.
    pub fn new(world: Arc<World>, scenario: &Scenario, clients: Vec<String>, clocks: Vec<SimClock>) -> Self {
        let begin = world.time.now();
        let mut plan: Vec<_> = scenario.disturbances.iter().map(|(after, what)| (begin + *after, *what)).collect();
        plan.reverse();
        world.bucket.set_faults(scenario.faults);
        Self {
            nodes: scenario.shape.nodes().iter().map(ToString::to_string).collect(),
            clients,
            clocks,
            faults: scenario.faults,
            plan,
            ends: Vec::new(),
            links: BTreeMap::new(),
            down: BTreeMap::new(),
            crashes: 0,
            world,
        }
    }

    /// Does what is due between two steps.
    pub fn act(&mut self, sim: &mut Sim<'_>) {
        let now = self.world.time.now();
        for (host, power) in self.world.points.take_dying() {
            if let Some(node) = self.nodes.iter().position(|name| *name == host) {
                self.crash(sim, node, DOWN_AFTER_POINT, power);
            }
        }
        let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.ends).into_iter().partition(|(at, _)| *at <= now);
        self.ends = later;
        for (_, ending) in due {
            self.end(sim, &ending);
        }
        while let Some((_, disturbance)) = self.plan.pop_if(|(at, _)| *at <= now) {
            self.world.trace.note("nemesis", format_args!("{disturbance:?}"));
            self.begin(sim, disturbance, now);
        }
        let starting: Vec<_> = self.down.iter().filter(|(_, at)| **at <= now).map(|(node, _)| *node).collect();
        for node in starting {
            self.down.remove(&node);
            self.world.trace.note(&self.nodes[node], format_args!("starts"));
            sim.bounce(self.nodes[node].as_str());
        }
    }

    /// Makes everything whole; nodes that are down start.
    pub fn heal(&mut self, sim: &mut Sim<'_>) {
        self.plan.clear();
        self.world.points.disarm();
        self.world.forget_stops();
        for (_, ending) in std::mem::take(&mut self.ends) {
            self.end(sim, &ending);
        }
        self.world.bucket.set_faults(Faults::NONE);
        for down in self.down.values_mut() {
            *down = Duration::ZERO;
        }
        self.act(sim);
    }

    fn begin(&mut self, sim: &mut Sim<'_>, disturbance: Disturbance, now: Duration) {
        let world = Arc::clone(&self.world);
        match disturbance {
            Disturbance::Crash { node, down, power } => self.crash(sim, node, down, power),
            Disturbance::AtPoint { node, point, passes, what } => {
                world.points.arm(&self.nodes[node], point, passes, what);
            }
            Disturbance::Cut { one, other, lasting } => {
                world.links.reset(&self.name(one), &self.name(other));
                self.break_link(sim, (one, other), Broken::Partitioned, now + lasting);
            }
            Disturbance::Swallow { one, other, lasting } => {
                self.break_link(sim, (one, other), Broken::Partitioned, now + lasting);
            }
            Disturbance::Hold { one, other, lasting } => {
                self.break_link(sim, (one, other), Broken::Held, now + lasting);
            }
            Disturbance::BucketGone { node, hanging, lasting } => {
                world.bucket.take_away(&self.nodes[node], hanging);
                self.ends.push((now + lasting, Ending::GiveBack));
            }
            Disturbance::Refusals { lasting } => {
                world.bucket.set_faults(Faults { refused: 900, ..self.faults });
                self.ends.push((now + lasting, Ending::Faults));
            }
            Disturbance::DataWritesHeld { lasting } => {
                world.bucket.hold_data_writes(true);
                self.ends.push((now + lasting, Ending::ReleaseDataWrites));
            }
            // One that is down has nothing to stop.
            Disturbance::Stop { node } if self.down.contains_key(&node) => {}
            Disturbance::Stop { node } => world.stop(&self.nodes[node]),
            Disturbance::WallClock { node, skew_ms } => self.clocks[node].skew_wall_ms(skew_ms),
        }
    }

    fn end(&mut self, sim: &Sim<'_>, ending: &Ending) {
        self.world.trace.note("nemesis", format_args!("{ending:?} is over"));
        match ending {
            Ending::Link(one, other) => match self.links.remove(&(one.clone(), other.clone())) {
                Some(Broken::Partitioned) => sim.repair(one.as_str(), other.as_str()),
                Some(Broken::Held) => sim.release(one.as_str(), other.as_str()),
                None => {}
            },
            Ending::GiveBack => self.world.bucket.give_back(),
            Ending::Faults => self.world.bucket.set_faults(self.faults),
            Ending::ReleaseDataWrites => self.world.bucket.hold_data_writes(false),
        }
    }

    /// Unless something is wrong with the link already.
    fn break_link(&mut self, sim: &Sim<'_>, between: (Host, Host), how: Broken, until: Duration) {
        let (one, other) = (self.name(between.0), self.name(between.1));
        if self.links.contains_key(&(one.clone(), other.clone()))
            || self.links.contains_key(&(other.clone(), one.clone()))
        {
            return;
        }
        match how {
            Broken::Partitioned => sim.partition(one.as_str(), other.as_str()),
            Broken::Held => sim.hold(one.as_str(), other.as_str()),
        }
        self.links.insert((one.clone(), other.clone()), how);
        self.ends.push((until, Ending::Link(one, other)));
    }

    /// Everything on the host is dropped, in an order that tokio does not promise and that differs between two runs: it
    /// follows the ids of tasks, which the whole process shares. So nothing that is sent meanwhile may arrive; afterwards
    /// the peers are told at once, as by the reset that answers whatever is sent to a dead process.
    fn drop_everything_on(&self, sim: &mut Sim<'_>, host: &str) {
        let others: Vec<_> = self.nodes.iter().chain(&self.clients).filter(|other| *other != host).cloned().collect();
        for other in &others {
            sim.partition(host, other.as_str());
        }
        sim.crash(host);
        for other in &others {
            let broken = self.links.get(&(host.to_owned(), other.clone()));
            match broken.or_else(|| self.links.get(&(other.clone(), host.to_owned()))) {
                Some(Broken::Partitioned) => {}
                Some(Broken::Held) => {
                    sim.repair(host, other.as_str());
                    sim.hold(host, other.as_str());
                }
                None => sim.repair(host, other.as_str()),
            }
            self.world.links.reset(host, other);
        }
    }

    fn crash(&mut self, sim: &mut Sim<'_>, node: usize, down: Duration, power: bool) {
        if self.down.contains_key(&node) {
            return;
        }
        self.crashes += 1;
        let host = self.nodes[node].clone();
        self.world.trace.note(&host, format_args!("dies"));
        self.drop_everything_on(sim, &host);
        if power {
            self.world.bucket.power_loss();
        }
        self.down.insert(node, self.world.time.now() + down);
    }

    fn name(&self, host: Host) -> String {
        match host {
            Host::Node(node) => self.nodes[node].clone(),
            Host::Client(client) => self.clients[client % self.clients.len()].clone(),
        }
    }
}
