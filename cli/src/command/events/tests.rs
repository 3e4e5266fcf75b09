//! What a line says, and what is known of the time of events around a cut.

use super::*;
use crate::output::Form;
use grpc::{Incoming, OPERATOR_EVENTS_PATH, Status, StreamHandler, StreamService};
use proto::{AgentId, FrameworkId, Limits, Source, TaskId, TaskState, TaskStatus};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;

#[test]
fn a_line_has_the_time_of_the_event_or_of_its_hearing() {
    let (early, heard) = (Time::from_nanos(0), Time::from_millis(61_000));
    let id = TaskId::new("t").unwrap();
    let status = TaskStatus::new(id, TaskState::Running, Source::Agent, early);
    let updated = Event::TaskUpdated {
        framework_id: FrameworkId::new("f").unwrap(),
        status: Box::new(status),
        state: TaskState::Running,
    };
    let shown = |event: &Event, heard| {
        line(&StreamEvent { sequence: Some(7), event: event.clone() }, heard)
    };
    let first = "#7        1970-01-01T00:00:00Z  task updated       t of f RUNNING\n";
    assert_eq!(shown(&updated, Some(heard)).as_deref(), Some(first));
    let removed = Event::AgentRemoved(AgentId::new("a-S0").unwrap());
    let later = "#7        1970-01-01T00:01:01Z  agent removed      a-S0\n";
    assert_eq!(shown(&removed, Some(heard)).as_deref(), Some(later));
    let unknown = "#7        -                     agent removed      a-S0\n";
    assert_eq!(shown(&removed, None).as_deref(), Some(unknown));
    assert_eq!(shown(&Event::Heartbeat, Some(heard)), None);
}

/// A master that has a script for each stream that is opened, after which it cuts it.
#[derive(Clone)]
struct Scripted {
    scripts: Arc<Mutex<VecDeque<Vec<StreamEvent>>>>,
    /// What was asked for.
    asked: mpsc::UnboundedSender<Option<(Arc<str>, u64)>>,
}

impl StreamHandler<Call, StreamEvent> for Scripted {
    type Outgoing = UnboundedReceiverStream<StreamEvent>;

    fn connect(
        &self,
        _: axum::http::Extensions,
        mut incoming: Incoming<Call>,
    ) -> Result<Self::Outgoing, Status> {
        let (events, outgoing) = mpsc::unbounded_channel();
        let it = self.clone();
        tokio::spawn(async move {
            let Ok(Some(Call::Subscribe { resume })) = incoming.next().await else {
                panic!("a stream begins with SUBSCRIBE")
            };
            let _ = it.asked.send(resume.map(|resume| (resume.stream.unwrap(), resume.after)));
            let mut scripts = it.scripts.lock().unwrap_or_else(PoisonError::into_inner);
            for event in scripts.pop_front().into_iter().flatten() {
                // Who asked for the number alone has left.
                let _ = events.send(event);
            }
        });
        Ok(UnboundedReceiverStream::new(outgoing))
    }
}

/// A stream of that name that stands at `read`, and then tells what has these numbers.
fn script(stream: &str, read: u64, numbers: impl IntoIterator<Item = u64>) -> Vec<StreamEvent> {
    let (stream, heartbeat_interval) = (Arc::from(stream), Duration::from_secs(15));
    let begun = Event::Subscribed { state: None, heartbeat_interval, stream };
    let removed = || Event::AgentRemoved(AgentId::new("a-S0").unwrap());
    let first = StreamEvent { sequence: Some(read), event: begun };
    let others = numbers.into_iter();
    let others = others.map(|number| StreamEvent { sequence: Some(number), event: removed() });
    std::iter::once(first).chain(others).collect()
}

#[tokio::test]
async fn after_a_cut_numbers_go_on_and_only_what_is_heard_live_has_the_time_of_hearing() {
    let scripts = [
        // It stands at 5, and is cut while the past is told.
        script("s", 5, []),
        script("s", 3, [4]),
        // It goes on, and stands at 7; then it is cut again.
        script("s", 4, [5, 6, 7, 8]),
        script("s", 7, []),
        // Another master counts anew.
        script("t", 2, [3]),
    ];
    let (asked, mut asks) = mpsc::unbounded_channel();
    let scripts = Arc::new(Mutex::new(VecDeque::from(scripts)));
    let master = StreamService::new(Scripted { scripts, asked }, Limits::DEFAULT);
    let router = axum::Router::new().route_service(OPERATOR_EVENTS_PATH, master);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // Ends with the runtime.
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let server = Server { master: address };
    let options = Options { follow: true, last: 2, print: Print { output: Form::Table }, server };
    let (show, mut shown) = mpsc::unbounded_channel();
    let watching = watch(&options, |event, heard| {
        show.send((event.sequence, heard.is_some())).unwrap();
    });
    let listening = async {
        let mut all = Vec::new();
        while all.len() < 6 {
            let (number, is_heard) = shown.recv().await.unwrap();
            all.push((number.unwrap(), is_heard));
        }
        all
    };
    let bound = Duration::from_secs(60);
    let all = tokio::select! {
        ended = watching => panic!("it goes on: {ended:?}"),
        all = tokio::time::timeout(bound, listening) => all.expect("in time"),
    };
    assert_eq!(all, [(4, false), (5, false), (6, false), (7, false), (8, true), (3, true)]);
    let mut resumed = Vec::new();
    while let Ok(ask) = asks.try_recv() {
        resumed.push(ask.map(|(stream, after)| format!("{stream} {after}")));
    }
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(resumed, [None, some("s 3"), some("s 4"), None, some("s 8")]);
}
