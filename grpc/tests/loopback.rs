//! The services over a real socket: order, limits, endings, and how fast they carry.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

use grpc::slim::{Serving, begin};
use grpc::{
    AgentLinkClient, ClientOptions, Code, ConnectError, Connection, Incoming, OperatorClient,
    OperatorHandler, OperatorService, SchedulerClient, Status, StreamHandler, StreamService,
};
use proto::agent_link::{AgentCall, AgentEvent, Command};
use proto::scheduler::{Call, CallBody, Event};
use proto::{
    AgentId, Encoding, FrameworkId, Limits, Offer, OfferId, Resources, Role, Wire, operator,
};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Answers each call of a scheduler with its name, and each pong of an agent with a ping.
#[derive(Clone)]
struct Echo;

impl StreamHandler<Call, Event> for Echo {
    type Outgoing = ReceiverStream<Event>;

    fn connect(
        &self,
        _: http::Extensions,
        mut incoming: Incoming<Call>,
    ) -> Result<Self::Outgoing, Status> {
        let (sender, queue) = mpsc::channel(1024);
        tokio::spawn(async move {
            loop {
                match incoming.next().await {
                    Ok(Some(call)) if call.body == CallBody::Teardown => break,
                    Ok(Some(call)) if matches!(call.body, CallBody::Request { .. }) => {
                        sender.send(Event::Offers(many_offers())).await.unwrap();
                    }
                    Ok(Some(call)) => {
                        let event = Event::Error(Arc::from(call.body.name()));
                        sender.send(event).await.unwrap();
                    }
                    Ok(None) => break,
                    Err(status) => {
                        let event = Event::Error(Arc::from(status.message()));
                        let _ = sender.send(event).await;
                        break;
                    }
                }
            }
        });
        Ok(ReceiverStream::new(queue))
    }
}

impl StreamHandler<AgentCall, AgentEvent> for Echo {
    type Outgoing = ReceiverStream<AgentEvent>;

    fn connect(
        &self,
        _: http::Extensions,
        mut incoming: Incoming<AgentCall>,
    ) -> Result<Self::Outgoing, Status> {
        let (sender, queue) = mpsc::channel(1024);
        tokio::spawn(async move {
            while let Ok(Some(AgentCall::Pong { sequence })) = incoming.next().await {
                sender.send(AgentEvent::Ping { sequence }).await.unwrap();
            }
        });
        Ok(ReceiverStream::new(queue))
    }
}

impl OperatorHandler for Echo {
    async fn call(&self, call: operator::Call) -> Result<operator::Response, Status> {
        match call {
            operator::Call::GetHealth => Ok(operator::Response::Health(true)),
            _ => Err(Status::unimplemented("not here")),
        }
    }
}

/// Addresses of the same services, served by the general server and by that of silent connections.
async fn serve(limits: Limits) -> [String; 2] {
    let general = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let slim = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addresses = [&general, &slim].map(|at| at.local_addr().unwrap().to_string());
    let scheduler = StreamService::<_, Call, Event>::new(Echo, limits.clone());
    let agents = StreamService::<_, AgentCall, AgentEvent>::new(Echo, limits.clone())
        .of_cluster(Some(Arc::from("östlich")));
    let router = axum::Router::new()
        .route_service(grpc::SCHEDULER_PATH, scheduler)
        .route_service(grpc::AGENT_LINK_PATH, agents)
        .route_service(grpc::OPERATOR_PATH, OperatorService::new(Echo, limits));
    tokio::spawn(serve_slim(slim, router.clone()));
    tokio::spawn(async move { axum::serve(general, router).await.unwrap() });
    addresses
}

async fn serve_slim(listener: TcpListener, router: axum::Router) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let router = router.clone();
        tokio::spawn(async move {
            let begun = begin(&mut stream, Duration::from_secs(60)).await.unwrap();
            let path = begun.path.expect("a client asks for something");
            assert!(path.ends_with("/Connect") || path.ends_with("/Call"), "{path}");
            // A client that is dropped may leave things open.
            let _ = Serving::new(stream, &begun.bytes, router).await;
        });
    }
}

fn call(body: CallBody) -> Call {
    Call { framework_id: Some(FrameworkId::new("f-0000").unwrap()), body }
}

#[tokio::test]
async fn calls_and_events_come_in_order_and_the_stream_ends_well() {
    for address in serve(Limits::DEFAULT).await {
        let mut link = SchedulerClient::connect(&address, &ClientOptions::default()).await.unwrap();
        link.sender.send(call(CallBody::Revive { roles: vec![] })).await.unwrap();
        link.sender.send(call(CallBody::Suppress { roles: vec![] })).await.unwrap();
        for name in ["REVIVE", "SUPPRESS"] {
            assert_eq!(link.incoming.next().await.unwrap(), Some(Event::Error(Arc::from(name))));
        }
        link.sender.send(call(CallBody::Teardown)).await.unwrap();
        assert_eq!(link.incoming.next().await.unwrap(), None);
    }
}

#[tokio::test]
async fn dropping_the_sender_ends_the_stream() {
    for address in serve(Limits::DEFAULT).await {
        let options = ClientOptions::default();
        let mut link = AgentLinkClient::connect(&address, &options).await.unwrap();
        link.sender.send(AgentCall::Pong { sequence: 7 }).await.unwrap();
        drop(link.sender);
        let ping = AgentEvent::Ping { sequence: 7 };
        assert_eq!(link.incoming.next().await.unwrap(), Some(ping));
        assert_eq!(link.incoming.next().await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_peer_knows_the_cluster_before_it_says_anything() {
    for address in serve(Limits::DEFAULT).await {
        let options = ClientOptions::default();
        let agent = AgentLinkClient::connect::<Command>(&address, &options).await.unwrap();
        assert_eq!(agent.cluster.as_deref(), Some("östlich"));
        let scheduler = SchedulerClient::connect(&address, &options).await.unwrap();
        assert_eq!(scheduler.cluster, None);
    }
}

/// A master that does not lead.
#[derive(Clone)]
struct Follower;

impl StreamHandler<Call, Event> for Follower {
    type Outgoing = ReceiverStream<Event>;

    fn connect(&self, _: http::Extensions, _: Incoming<Call>) -> Result<Self::Outgoing, Status> {
        Err(grpc::not_leading(Some("leader.example.org:5050")))
    }
}

#[tokio::test]
async fn a_master_that_does_not_lead_says_who_does() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let service = StreamService::<_, Call, Event>::new(Follower, Limits::DEFAULT);
    let router = axum::Router::new().route_service(grpc::SCHEDULER_PATH, service);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let error = SchedulerClient::connect(&address, &ClientOptions::default()).await.unwrap_err();
    assert_eq!(error.leader(), Some("leader.example.org:5050"));
    assert!(error.to_string().ends_with("does not lead; leader.example.org:5050 does"), "{error}");
}

#[tokio::test]
async fn a_message_beyond_the_limit_ends_its_stream_with_the_reason() {
    for address in serve(Limits { body_bytes: 64, ..Limits::DEFAULT }).await {
        let mut link = SchedulerClient::connect(&address, &ClientOptions::default()).await.unwrap();
        let offer_ids = (0..100).map(|n| format!("master-O{n}").parse().unwrap()).collect();
        let decline = CallBody::Decline { offer_ids, filters: proto::Filters::none() };
        link.sender.send(call(decline)).await.unwrap();
        match link.incoming.next().await.unwrap() {
            Some(Event::Error(message)) => assert!(message.contains("64"), "{message}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(link.incoming.next().await.unwrap(), None);
    }
}

/// So many offers that they exceed what a server would take.
fn many_offers() -> Vec<Offer> {
    let agent = |n: usize| AgentId::new(format!("00000000-0000-4000-8000-000000000000-S{n}"));
    let offer = |n: usize| Offer {
        id: OfferId::new(format!("00000000-0000-4000-8000-000000000000-O{n}")).unwrap(),
        framework_id: FrameworkId::new("00000000-0000-4000-8000-000000000000-0000").unwrap(),
        agent_id: agent(n).unwrap(),
        hostname: Arc::from("agent.example.org"),
        port: 5051,
        role: Role::any(),
        resources: Resources::cpus_mem(1000, 1_000_000),
        attributes: Arc::from([]),
        domain: None,
        executor_ids: Vec::new(),
        unavailability: None,
    };
    (0..20_000).map(offer).collect()
}

#[tokio::test]
async fn a_client_takes_more_at_once_than_a_server() {
    for address in serve(Limits::DEFAULT).await {
        let mut link = SchedulerClient::connect(&address, &ClientOptions::default()).await.unwrap();
        link.sender.send(call(CallBody::Request { demands: vec![] })).await.unwrap();
        let event = link.incoming.next().await.unwrap().unwrap();
        assert!(event.encode(Encoding::Protobuf).len() > Limits::DEFAULT.body_bytes);
        assert!(matches!(event, Event::Offers(offers) if offers.len() == 20_000));
    }
}

#[tokio::test]
async fn operators_are_answered_and_refused() {
    for address in serve(Limits::DEFAULT).await {
        let client = OperatorClient::connect(&address, &ClientOptions::default()).await.unwrap();
        let health = client.call(operator::Call::GetHealth).await.unwrap();
        assert_eq!(health, operator::Response::Health(true));
        let status = client.call(operator::Call::GetTasks).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Unimplemented, "not here"));
    }
}

#[tokio::test]
async fn nobody_there_is_a_sentence_that_names_the_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = SchedulerClient::connect(&address, &ClientOptions::default()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable { .. }));
    assert!(error.to_string().contains(&address), "{error}");
    let error = SchedulerClient::connect("no address", &ClientOptions::default()).await;
    assert!(matches!(error.unwrap_err(), ConnectError::Address { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_carry_every_message() {
    const MESSAGES: u64 = 100_000;
    for address in serve(Limits::DEFAULT).await {
        let mut link = AgentLinkClient::connect(&address, &ClientOptions::default()).await.unwrap();
        let start = Instant::now();
        let sender = link.sender;
        tokio::spawn(async move {
            for sequence in 0..MESSAGES {
                sender.send(AgentCall::Pong { sequence }).await.unwrap();
            }
        });
        for sequence in 0..MESSAGES {
            let event = link.incoming.next().await.unwrap();
            assert_eq!(event, Some(AgentEvent::Ping { sequence }));
        }
        assert_eq!(link.incoming.next().await.unwrap(), None);
        let rate = MESSAGES as f64 / start.elapsed().as_secs_f64();
        println!("{rate:.0} messages/s each way, client and server in one process");
    }
}

/// Who serves it knows by its first words that it will ask.
#[tokio::test]
async fn a_client_of_ours_is_waited_for() {
    let [_, slim] = serve(Limits::DEFAULT).await;
    let connection = Connection::open(&slim, &ClientOptions::default()).await.unwrap();
    // Much longer than others are waited for.
    // waits: a client that asks late
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut link = connection.agent_link().await.unwrap();
    link.sender.send(AgentCall::Pong { sequence: 7 }).await.unwrap();
    assert_eq!(link.incoming.next().await.unwrap(), Some(AgentEvent::Ping { sequence: 7 }));
}
