//! Calls and answers about the masters themselves.

use super::{list, present, text, w};
use crate::DecodeError;
use crate::operator::{Call, MasterView, Masters};
use w::master::call::Type;
use w::master::response::GetMasters;
use w::master::response::get_masters::Master;

pub(super) fn read(kind: Type, call: w::master::Call) -> Result<Call, DecodeError> {
    Ok(match kind {
        Type::AddMaster => {
            let add = present(call.add_master, "add_master")?;
            Call::AddMaster {
                id: id(add.id, "add_master.id")?,
                address: text(add.address, "add_master.address")?,
            }
        }
        Type::RemoveMaster => {
            let remove = present(call.remove_master, "remove_master")?;
            Call::RemoveMaster(id(remove.id, "remove_master.id")?)
        }
        _ => {
            let to = call.transfer_lead.and_then(|transfer| transfer.id);
            Call::TransferLead(to.map(|to| id(Some(to), "transfer_lead.id")).transpose()?)
        }
    })
}

fn id(id: Option<u64>, field: &str) -> Result<u64, DecodeError> {
    match present(id, field)? {
        0 => Err(DecodeError::new(field, "no master has the id 0")),
        id => Ok(id),
    }
}

impl From<&Masters> for GetMasters {
    fn from(masters: &Masters) -> Self {
        Self {
            cluster: Some(masters.cluster.to_string()),
            term: Some(masters.term),
            commit: Some(masters.commit),
            masters: masters.masters.iter().map(Into::into).collect(),
        }
    }
}

impl From<&MasterView> for Master {
    fn from(master: &MasterView) -> Self {
        Self {
            id: Some(master.id),
            address: Some(master.address.to_string()),
            voting: Some(master.voting),
            leading: Some(master.leading),
            alive: Some(master.alive),
            matched: master.matched,
        }
    }
}

impl TryFrom<GetMasters> for Masters {
    type Error = DecodeError;
    fn try_from(wire: GetMasters) -> Result<Self, DecodeError> {
        Ok(Self {
            cluster: text(wire.cluster, "cluster")?,
            term: present(wire.term, "term")?,
            commit: present(wire.commit, "commit")?,
            masters: list(wire.masters, "masters")?,
        })
    }
}

impl TryFrom<Master> for MasterView {
    type Error = DecodeError;
    fn try_from(wire: Master) -> Result<Self, DecodeError> {
        Ok(Self {
            id: id(wire.id, "id")?,
            address: text(wire.address, "address")?,
            voting: present(wire.voting, "voting")?,
            leading: present(wire.leading, "leading")?,
            alive: present(wire.alive, "alive")?,
            matched: wire.matched,
        })
    }
}
