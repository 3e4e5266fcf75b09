//! The fields of records: written one after the other, and read in the same order.

use master_core::{Holdings, KnownOperation, Maintenance, OperationEnd};
use proto::scheduler::{Call, CallBody};
use proto::{
    AgentId, Encoding, Filters, FrameworkId, Limits, MachineId, MaintenanceWindow, Operation,
    OperationState, Piece, ResourceName, Resources, Time, Unavailability, Wire,
};
use std::sync::Arc;
use std::time::Duration;

#[derive(Default)]
pub(super) struct Fields(pub(super) Vec<u8>);

impl Fields {
    pub(super) fn int(mut self, value: u64) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(super) fn duration(self, value: Duration) -> Self {
        self.int(u64::try_from(value.as_nanos()).unwrap_or(u64::MAX))
    }

    pub(super) fn machine(self, machine: &MachineId) -> Self {
        let text = |name: &Option<Arc<str>>| name.clone().unwrap_or_default();
        self.bytes(text(&machine.hostname).as_bytes()).bytes(text(&machine.ip).as_bytes())
    }

    pub(super) fn amounts(mut self, amounts: &[(&ResourceName, u64)]) -> Self {
        self = self.int(amounts.len() as u64);
        for (name, milli) in amounts {
            self = self.bytes(name.as_str().as_bytes()).int(*milli);
        }
        self
    }

    pub(super) fn bytes(mut self, value: &[u8]) -> Self {
        self.0.extend_from_slice(&(value.len() as u64).to_le_bytes());
        self.0.extend_from_slice(value);
        self
    }

    pub(super) fn message<T: Wire>(self, message: &T) -> Self {
        self.bytes(&message.encode(Encoding::Protobuf))
    }

    pub(super) fn holdings(self, holdings: &Holdings) -> Self {
        let fields = self.message(&holdings.changed).int(holdings.doomed.len() as u64);
        // One by one: their order counts, and a list of resources is in an order of its own.
        let one = |piece: &Piece| Resources::from_iter([piece.clone()]);
        holdings.doomed.iter().fold(fields, |fields, piece| fields.message(&one(piece)))
    }

    /// What was asked for, as a call; by whom; where; and how it ended.
    pub(super) fn operation(self, known: &KnownOperation) -> Self {
        let operations = vec![Operation::Change(Box::new(known.operation.clone()))];
        let nobody = FrameworkId::new("-").expect("a dash is an id");
        let call = Call {
            // A call must be somebody's: who asked stands beside it.
            framework_id: Some(nobody),
            body: CallBody::Accept { offer_ids: Vec::new(), operations, filters: Filters::none() },
        };
        let end = known.end.as_ref();
        let message = end.and_then(|end| end.message.as_deref());
        let framework_id = known.framework_id.as_ref().map_or("", FrameworkId::as_str);
        self.message(&call)
            .bytes(framework_id.as_bytes())
            .bytes(known.agent_id.as_str().as_bytes())
            .int(end.map_or(0, |end| u64::from(end.state as u8) + 1))
            .int(u64::from(message.is_some()))
            .bytes(message.unwrap_or_default().as_bytes())
    }
}

pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .ok_or_else(|| "is shorter than its fields".to_owned())?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn int(&mut self) -> Result<u64, String> {
        let bytes = self.take(8)?;
        Ok(bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    pub(super) fn time(&mut self) -> Result<Time, String> {
        self.int().map(Time::from_nanos)
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], String> {
        let length = usize::try_from(self.int()?).map_err(|_| "is shorter than its fields")?;
        self.take(length)
    }

    /// A count, which whatever is counted follows: each takes a byte at least.
    pub(super) fn count(&mut self) -> Result<usize, String> {
        let count = usize::try_from(self.int()?).ok().filter(|count| *count <= self.0.len());
        count.ok_or_else(|| "is shorter than its fields".to_owned())
    }

    pub(super) fn machine(&mut self) -> Result<MachineId, String> {
        let (hostname, ip) = (self.text()?, self.text()?);
        let some = |name: Arc<str>| (!name.is_empty()).then_some(name);
        Ok(MachineId { hostname: some(hostname), ip: some(ip) })
    }

    pub(super) fn maintenance(&mut self) -> Result<Maintenance, String> {
        let mut maintenance = Maintenance::default();
        for _ in 0..self.count()? {
            let start = self.time()?;
            let (has_duration, duration) = (self.int()?, self.int()?);
            let duration = (has_duration == 1).then(|| Duration::from_nanos(duration));
            let count = self.count()?;
            let machines = (0..count).map(|_| self.machine()).collect::<Result<_, _>>()?;
            let unavailability = Unavailability { start, duration };
            maintenance.windows.push(MaintenanceWindow { machines, unavailability });
        }
        for _ in 0..self.count()? {
            maintenance.down.insert(self.machine()?);
        }
        Ok(maintenance)
    }

    pub(super) fn amounts(&mut self) -> Result<Vec<(ResourceName, u64)>, String> {
        let count = self.int()?;
        (0..count).map(|_| Ok((ResourceName::new(self.text()?), self.int()?))).collect()
    }

    pub(super) fn text(&mut self) -> Result<Arc<str>, String> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map(Arc::from).map_err(|_| "has a text that is none".to_owned())
    }

    pub(super) fn message<T: Wire>(&mut self, limits: &Limits) -> Result<T, String> {
        T::decode(self.bytes()?, Encoding::Protobuf, limits).map_err(|error| error.to_string())
    }

    pub(super) fn holdings(&mut self, limits: &Limits) -> Result<Holdings, String> {
        let changed = self.message(limits)?;
        let mut doomed = Vec::new();
        for _ in 0..self.count()? {
            let one: Resources = self.message(limits)?;
            doomed.extend(one.pieces().iter().cloned());
        }
        Ok(Holdings { changed, doomed })
    }

    pub(super) fn operation(&mut self, limits: &Limits) -> Result<KnownOperation, String> {
        let call: Call = self.message(limits)?;
        let no_operation = || "has no operation".to_owned();
        let CallBody::Accept { mut operations, .. } = call.body else {
            return Err(no_operation());
        };
        let Some(Operation::Change(operation)) = operations.pop() else {
            return Err(no_operation());
        };
        let framework_id = Some(self.text()?).filter(|id| !id.is_empty());
        let framework_id = framework_id.map(FrameworkId::new).transpose();
        let framework_id = framework_id.map_err(|error| error.to_string())?;
        let agent_id = AgentId::new(self.text()?).map_err(|error| error.to_string())?;
        let state = self.int()?;
        let (has_message, message) = (self.int()?, self.text()?);
        let message = (has_message == 1).then_some(message);
        let state = state.checked_sub(1).map(|state| {
            let state = i32::try_from(state).ok().and_then(OperationState::from_number);
            state.ok_or_else(|| "has an unknown state".to_owned())
        });
        let end = state.transpose()?.map(|state| OperationEnd { state, message });
        let operation = *operation;
        Ok(KnownOperation { framework_id, agent_id, operation, end })
    }
}
