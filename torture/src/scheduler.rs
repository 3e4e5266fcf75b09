//! A scheduler under torture, `torture scheduler NAME MASTERS DIR`: a process of its own that
//! launches short tasks all the time and writes down what it does and what it is told, each thing
//! before it acts on it. It may be killed at any moment and started again.

use crate::dice::Dice;
use crate::history::{Fact, Recorder, now};
use crate::instance;
use crate::keeper::{self, Keeper};
use anyhow::Context as _;
use driver::{Event, Framework, command_task};
use proto::{Offer, Resources, Role, TaskId, TaskStatus};
use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Thousandths of a cpu of each task.
const CPUS: u64 = 200;
/// Thousandths of a MB of each task.
const MEM: u64 = 16_000;
/// Most tasks that one life of a scheduler has at a time.
const MOST: usize = 7;
/// Tasks of the first scheduler that live until the run is calm.
const LONG: usize = 4;
/// How long what is not wanted stays away: offers are to flow all the time.
const REFUSE: Duration = Duration::from_millis(400);
/// How old an offer is when it is used once more, against the rules.
const SPENT: usize = 3;

struct Scheduler {
    name: String,
    framework: Framework,
    history: Arc<Recorder>,
    tasks: PathBuf,
    dice: Dice,
    /// Tells this life's tasks from those of others.
    life: u64,
    launched: u64,
    long: usize,
    live: BTreeSet<TaskId>,
    /// Offers that were used, newest last.
    spent: VecDeque<Offer>,
}

/// Runs one life, until standard input ends or the process is killed.
pub(crate) async fn run(words: &[String]) -> anyhow::Result<()> {
    crate::end_with_parent();
    let [name, masters, dir] = words else { anyhow::bail!("scheduler NAME MASTERS DIR") };
    let dir = PathBuf::from(dir);
    let store = dir.join("data").join(name);
    let is_first = !store.exists();
    let mut builder = Framework::builder(name).store(store).role(Role::new(name.as_str())?);
    for master in masters.split(',') {
        builder = builder.master(master);
    }
    let history = Arc::new(Recorder::open(&dir.join(format!("history-{name}.jsonl")))?);
    let life = now();
    let mut scheduler = Scheduler {
        name: name.clone(),
        framework: builder.start().await?,
        history,
        tasks: dir.join("tasks"),
        dice: Dice::new(life),
        life: life / 1_000_000,
        launched: 0,
        long: if is_first && name == "alpha" { LONG } else { 0 },
        live: BTreeSet::new(),
        spent: VecDeque::new(),
    };
    scheduler.keep();
    scheduler.serve().await
}

impl Scheduler {
    /// Starts the clients of the framework's state.
    fn keep(&self) {
        for client in 0..keeper::CLIENTS {
            let keeper = Keeper {
                framework: self.name.clone(),
                state: self.framework.state(),
                history: Arc::clone(&self.history),
                value: (self.life * 10 + client as u64) * 100_000,
                calm: self.tasks.join("calm"),
            };
            tokio::spawn(keeper.run());
        }
    }

    async fn serve(&mut self) -> anyhow::Result<()> {
        loop {
            let event = self.framework.next_event().await?.context("nobody tore it down")?;
            let framework = self.name.clone();
            match event {
                Event::Subscribed(id) => {
                    self.history.note(Fact::Subscribed { framework, id: id.to_string() });
                }
                Event::Disconnected => self.history.note(Fact::Disconnected { framework }),
                Event::Rescinded(offer) => {
                    let offer = offer.to_string();
                    self.history.note(Fact::Rescinded { framework, offer });
                }
                Event::Offers(offers) => {
                    offers.iter().for_each(|offer| self.offered(offer));
                    for offer in offers {
                        self.take(&offer)?;
                    }
                }
                Event::Update(status) => self.told(&status),
                Event::Refused(call, why) => eprintln!("{call} was refused: {why}"),
            }
        }
    }

    fn told(&mut self, status: &TaskStatus) {
        let uuid = status.uuid.map(|uuid| {
            uuid.0.iter().fold(String::new(), |mut text, byte| {
                let _ = write!(text, "{byte:02x}");
                text
            })
        });
        self.history.note(Fact::Told {
            framework: self.name.clone(),
            task: status.task_id.to_string(),
            state: status.state.to_string(),
            uuid,
            why: status.message.as_deref().unwrap_or_default().to_owned(),
        });
        if status.state.is_terminal() {
            self.live.remove(&status.task_id);
        }
        self.framework.acknowledge(status);
    }

    fn offered(&self, offer: &Offer) {
        self.history.note(Fact::Offered {
            framework: self.name.clone(),
            offer: offer.id.to_string(),
            agent: offer.agent_id.to_string(),
            cpus: offer.resources.cpus(),
        });
    }

    fn take(&mut self, offer: &Offer) -> anyhow::Result<()> {
        let needs = Resources::cpus_mem(CPUS, MEM);
        let is_calm = self.tasks.join("calm").exists();
        if is_calm || self.live.len() >= MOST || !offer.resources.contains(&needs) {
            let (framework, id) = (self.name.clone(), offer.id.to_string());
            self.history.note(Fact::Declined { framework, offer: id });
            self.framework.decline(offer, REFUSE);
            return Ok(());
        }
        self.launch(offer, false)?;
        self.spent.push_back(offer.clone());
        if self.spent.len() > SPENT {
            // One in eight is used a second time: nothing may come of it.
            let old = self.spent.pop_front().context("there are some")?;
            if self.dice.below(8) == 0 {
                self.launch(&old, true)?;
            }
        }
        Ok(())
    }

    fn launch(&mut self, offer: &Offer, spent: bool) -> anyhow::Result<()> {
        self.launched += 1;
        let name = format!("{}-{}-{}", self.name, self.life, self.launched);
        let millis = if self.long > 0 && !spent {
            self.long -= 1;
            None
        } else {
            Some(200 + self.dice.below(1_800))
        };
        let command = instance::command(&self.tasks, CPUS, millis)?;
        let needs = Resources::cpus_mem(CPUS, MEM);
        let task = command_task(offer, TaskId::new(name.as_str())?, &command, needs);
        self.history.note(Fact::Launched {
            framework: self.name.clone(),
            task: name,
            offer: offer.id.to_string(),
            cpus: CPUS,
            spent,
        });
        self.live.insert(task.task_id.clone());
        self.framework.launch(offer, vec![task]);
        Ok(())
    }
}
