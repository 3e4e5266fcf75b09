//! Masters that do not lead point to the one that does.

use crate::master::Master;
use crate::{BOUND, spec, until_ended};
use driver::Engine;
use driver::core::Options;
use grpc::{Incoming, Status, StreamHandler, StreamService};
use proto::Limits;
use proto::scheduler::{Call, Event};
use std::sync::{Arc, Mutex};
use std::time::Duration;
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
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let service = StreamService::<_, Call, Event>::new(follower.clone(), Limits::DEFAULT);
        let router = axum::Router::new().route_service(grpc::SCHEDULER_PATH, service);
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
        let reached = attempts.wait_for(|count| *count >= times);
        tokio::time::timeout(BOUND, reached).await.expect("it is asked again").unwrap();
    }
}

impl StreamHandler<Call, Event> for Follower {
    type Outgoing = UnboundedReceiverStream<Event>;

    fn connect(
        &self,
        _: axum::http::Extensions,
        _: Incoming<Call>,
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

async fn batch(masters: &[&str], reconnect_first: Duration) {
    let dir = tempfile::tempdir().unwrap();
    let mut options = Options::new("test", masters.iter().map(|m| Arc::from(*m)).collect());
    options.reconnect_first = reconnect_first;
    options.reconnect_most = options.reconnect_most.max(reconnect_first);
    let (engine, _task) = Engine::start(options, dir.path(), "test").await.unwrap();
    let mut watch = engine.watch();
    let id = engine.submit(spec(1)).await.unwrap();
    until_ended(&engine, &mut watch, &id).await;
}

#[tokio::test]
async fn the_leader_is_found_although_nobody_named_it_and_without_a_wait() {
    let (_leader, address) = Master::start(10, true).await;
    let (follower, first) = Follower::start().await;
    follower.says(&address);
    // With a back-off beyond the bound, only a redirect that is followed at once gets there.
    batch(&[&first], 4 * BOUND).await;
    assert_eq!(follower.attempts(), 1);
}

#[tokio::test]
async fn what_is_no_address_is_not_followed() {
    let (_leader, address) = Master::start(10, true).await;
    let (spy, spied) = Follower::start().await;
    let (follower, first) = Follower::start().await;
    follower.says(&format!("{spied}/path"));
    batch(&[&first, &address], Duration::from_millis(1)).await;
    assert_eq!((follower.attempts(), spy.attempts()), (1, 0));
}

#[tokio::test]
async fn a_circle_is_left_to_the_back_off() {
    let (_leader, leader) = Master::start(10, true).await;
    let ((one, first), (two, second)) = (Follower::start().await, Follower::start().await);
    one.says(&second);
    two.says(&first);
    let began = std::time::Instant::now();
    let pause = Duration::from_millis(20);
    let masters = [first.as_str()];
    let working = batch(&masters, pause);
    let electing = async {
        one.attempted(3).await;
        two.attempted(3).await;
        // Three were followed at once; before the fifth and the sixth attempt it waited.
        assert!(began.elapsed() >= pause / 2 + pause, "{:?}", began.elapsed());
        one.says(&leader);
        two.says(&leader);
    };
    tokio::join!(working, electing);
}
