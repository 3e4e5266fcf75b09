//! The operator API: what people and tools may ask of a master, what it answers, and the events
//! that it tells those who watch.

mod call;
mod event;
mod response;
mod views;

pub use call::{Call, Resume, Selection};
pub use event::{CutOff, Event, StreamEvent};
pub use response::Response;
pub use views::{
    AgentStanding, AgentView, DrainState, DrainView, ExecutorView, FrameworkView, GoneAgent,
    MasterView, Masters, OperationView, RoleView, State, TaskView, TasksView,
};
