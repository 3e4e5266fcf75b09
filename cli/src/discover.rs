//! Finding servers from the one address that people give: the master's.

use crate::Server;
use crate::client::Client;
use crate::failure::{Code, Failure};
use proto::operator::{Call, Response};

/// The name under which the jobs framework registers.
const JOBS: &str = "jobs";

/// A client of the master.
pub(crate) fn master(server: &Server) -> Client {
    Client::new("master", &server.master)
}

/// A client of the jobs framework, whose API's address the master knows.
pub(crate) async fn jobs(server: &Server) -> Result<Client, Failure> {
    let Response::Frameworks(frameworks, _) = master(server).operator(&Call::GetFrameworks).await?
    else {
        return Err(Failure::new(Code::Failed, "the master answered something else"));
    };
    let mut jobs: Vec<_> = frameworks.iter().filter(|f| &*f.info.name == JOBS).collect();
    // A framework that was left behind may still be listed beside the one that works.
    jobs.sort_by_key(|framework| !framework.connected);
    let address = jobs
        .first()
        .and_then(|framework| framework.info.webui_url.as_deref())
        .and_then(|url| url.strip_prefix("http://"))
        .map(|rest| rest.trim_end_matches('/').to_owned());
    address.map(|address| Client::new("jobs", address)).ok_or_else(|| {
        let message =
            format!("no jobs framework is registered with the master at {}", server.master);
        Failure::new(Code::Unavailable, message).next(
            "start one with 'tepui jobs serve --data DIR', or a whole cluster with 'tepui up'",
        )
    })
}
