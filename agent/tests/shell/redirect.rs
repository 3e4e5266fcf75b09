//! Masters that do not lead point to the one that does.

use crate::rig::{Agent, Master, config, soon};
use agent::Stop;
use grpc::{Incoming, Status, StreamHandler, StreamService};
use proto::Limits;
use proto::agent_link::{AgentCall, AgentEvent};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::wrappers::UnboundedReceiverStream;

/// Refuses everybody, with what it is told to say of the leader.
#[derive(Clone)]
struct Follower {
    leader: Arc<Mutex<String>>,
    attempts: Arc<watch::Sender<u32>>,
}

impl Follower {
    async fn start() -> (Self, String) {
        let follower = Self { leader: Arc::default(), attempts: Arc::new(watch::Sender::new(0)) };
        let limits = Limits::DEFAULT;
        let service = StreamService::<_, AgentCall, AgentEvent>::new(follower.clone(), limits);
        let router = axum::Router::new().route_service(grpc::AGENT_LINK_PATH, service);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (follower, address)
    }

    fn says(&self, leader: &str) {
        leader.clone_into(&mut self.leader.lock().unwrap());
    }

    fn attempts(&self) -> u32 {
        *self.attempts.borrow()
    }

    async fn attempted(&self, times: u32) {
        let mut attempts = self.attempts.subscribe();
        soon(attempts.wait_for(|count| *count >= times)).await.unwrap();
    }
}

impl StreamHandler<AgentCall, AgentEvent> for Follower {
    type Outgoing = UnboundedReceiverStream<AgentEvent>;

    fn connect(
        &self,
        _: http::Extensions,
        _: Incoming<AgentCall>,
    ) -> Result<Self::Outgoing, Status> {
        self.attempts.send_modify(|count| *count += 1);
        // Whatever it is: a master of good faith would not say everything.
        let mut refusal = Status::unavailable("this master does not lead");
        if let Ok(value) = self.leader.lock().unwrap().parse() {
            refusal.metadata_mut().insert(grpc::LEADER_KEY, value);
        }
        Err(refusal)
    }
}

#[tokio::test]
async fn an_agent_goes_where_the_leader_is_and_comes_back_through_the_follower() {
    let dir = tempfile::tempdir().unwrap();
    let (follower, first) = Follower::start().await;
    let (mut leader, mut next) = (Master::start().await, Master::start().await);
    follower.says(&leader.address);
    // Who goes last looks for what is left.
    let mut config = config(&next, dir.path());
    config.masters = vec![first];
    let agent = Agent::start(config).await;
    let link = leader.admit().await;
    assert_eq!(follower.attempts(), 1);
    agent.registered().await;
    // Another one leads now.
    follower.says(&next.address);
    drop((link, leader));
    let _link = next.admit().await;
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn an_agent_follows_no_garbage() {
    let dir = tempfile::tempdir().unwrap();
    let (spy, spied) = Follower::start().await;
    let (follower, first) = Follower::start().await;
    let mut leader = Master::start().await;
    follower.says(&format!("{spied}/path"));
    let mut config = config(&leader, dir.path());
    config.masters.insert(0, first);
    let agent = Agent::start(config).await;
    let _link = leader.admit().await;
    assert_eq!((follower.attempts(), spy.attempts()), (1, 0));
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn an_agent_leaves_a_circle_once_there_is_a_leader() {
    let dir = tempfile::tempdir().unwrap();
    let ((one, first), (two, second)) = (Follower::start().await, Follower::start().await);
    one.says(&second);
    two.says(&first);
    let mut leader = Master::start().await;
    let mut config = config(&leader, dir.path());
    config.masters = vec![first];
    let agent = Agent::start(config).await;
    // Three redirects are followed at once, the fourth is not.
    one.attempted(3).await;
    one.says(&leader.address);
    two.says(&leader.address);
    let _link = leader.admit().await;
    agent.stop(Stop::EndTasks).await;
}
