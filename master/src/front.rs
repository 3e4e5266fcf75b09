//! What answers requests at the moment: the core of a master that leads, or a follower's few words.
//!
//! A connection outlives the lead: each request finds anew who answers it.

use axum::Router;
use tokio::runtime::Handle;
use tokio::sync::watch;

/// What answers requests.
#[derive(Clone)]
struct Desk {
    router: Router,
    /// Where connections of operators are served, if not where all others are.
    operators: Option<Handle>,
    leads: bool,
}

/// What answers requests at the moment.
#[derive(Clone)]
pub(crate) struct Front(watch::Sender<Desk>);

impl Front {
    /// Nobody leads yet: `follower` answers.
    pub(crate) fn new(follower: impl FnOnce(Self) -> Router) -> Self {
        let front = Self(watch::Sender::new(Desk::of_follower(Router::new())));
        front.follow(follower(front.clone()));
        front
    }

    /// A core answers from now on; connections of operators are served by `operators`.
    pub(crate) fn lead(&self, router: Router, operators: Handle) {
        self.0.send_replace(Desk { router, operators: Some(operators), leads: true });
    }

    /// No core answers any more.
    pub(crate) fn follow(&self, router: Router) {
        self.0.send_replace(Desk::of_follower(router));
    }

    /// What answers now.
    pub(crate) fn router(&self) -> Router {
        self.0.borrow().router.clone()
    }

    /// Where connections of operators are served now.
    pub(crate) fn operators(&self) -> Option<Handle> {
        self.0.borrow().operators.clone()
    }

    /// Returns once a core answers: its router.
    pub(crate) async fn leading(&self) -> Router {
        let mut desk = self.0.subscribe();
        let router = desk.wait_for(|desk| desk.leads).await.map(|desk| desk.router.clone());
        match router {
            Ok(router) => router,
            // Not while `self` has the sender.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Desk {
    fn of_follower(router: Router) -> Self {
        Self { router, operators: None, leads: false }
    }
}
