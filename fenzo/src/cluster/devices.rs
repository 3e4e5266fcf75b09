//! The devices of one host, and how much of each is left.
//!
//! A device is found by kind and position; positions hold from the beginning of a pass to its end, because the
//! list is made anew only in between. Nothing here chooses by taste: that is the fitness's business. What is
//! taken is checked against what is free, every time.

use std::collections::BTreeMap;

use crate::device::{Amount, Device, DeviceRequest, DeviceUse, WHOLE};
use crate::id::{DeviceId, DeviceKind, DeviceModel};
use crate::quantity::Milli;

/// The devices of a host, by kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostDevices(Vec<Kind>);

/// The devices of one kind, in order of id.
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    kind: DeviceKind,
    /// The model, if all are of the same.
    model: Option<DeviceModel>,
    slots: Vec<Slot>,
}

/// One device.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    id: DeviceId,
    model: DeviceModel,
    /// Thousandths that are free.
    pub(crate) free: u16,
}

/// A share of a device, chosen for a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pick {
    kind: usize,
    slot: usize,
    share: u16,
}

impl HostDevices {
    /// Adds what a lease offers. Of several devices with one id the shares add up, to one whole at most.
    pub(crate) fn add(&mut self, devices: &[Device]) {
        for device in devices {
            let free = u16::try_from(device.free.thousandths()).unwrap_or(WHOLE).min(WHOLE);
            let at = self.0.binary_search_by(|kind| kind.kind.cmp(&device.kind));
            let at = at.unwrap_or_else(|at| {
                let (kind, slots) = (device.kind.clone(), Vec::new());
                self.0.insert(at, Kind { kind, model: Some(device.model.clone()), slots });
                at
            });
            let kind = &mut self.0[at];
            match kind.slots.binary_search_by(|slot| slot.id.cmp(&device.id)) {
                Ok(at) => {
                    let slot = &mut kind.slots[at];
                    slot.free = slot.free.saturating_add(free).min(WHOLE);
                }
                Err(at) => {
                    let (id, model) = (device.id.clone(), device.model.clone());
                    kind.slots.insert(at, Slot { id, model, free });
                    kind.model.take_if(|model| *model != device.model);
                }
            }
        }
    }

    /// Takes what running tasks use from what is on offer; what is not on offer is passed over.
    pub(crate) fn note(&mut self, uses: &[DeviceUse]) {
        for used in uses {
            let kind = self.0.iter_mut().find(|kind| kind.kind == used.kind);
            let slot = kind.and_then(|kind| kind.slots.iter_mut().find(|slot| slot.id == used.id));
            if let Some(slot) = slot {
                let share = u16::try_from(used.share.thousandths()).unwrap_or(WHOLE);
                slot.free = slot.free.saturating_sub(share);
            }
        }
    }

    /// The devices of a kind.
    pub(crate) fn of(&self, kind: &DeviceKind) -> Option<&Kind> {
        self.0.iter().find(|of| of.kind == *kind)
    }

    /// The first kind of which the host cannot serve a request.
    pub(crate) fn lacks<'r>(
        &self,
        requests: &'r BTreeMap<DeviceKind, DeviceRequest>,
    ) -> Option<(&'r DeviceKind, &'r DeviceRequest)> {
        let serves = |kind: &DeviceKind, request: &DeviceRequest| match self.of(kind) {
            Some(devices) => devices.serves(request),
            None => request.devices() == 0,
        };
        requests.iter().find(|(kind, request)| !serves(kind, request))
    }

    /// The devices for a task that the host can serve: whole ones in order of id, and of those that have room
    /// for a part the one that `choose` says.
    pub(crate) fn pick(
        &self,
        requests: &BTreeMap<DeviceKind, DeviceRequest>,
        choose: impl Fn(&DeviceKind) -> Option<usize>,
    ) -> Vec<Pick> {
        let mut picks = Vec::new();
        for (name, request) in requests {
            let Some(kind) = self.0.iter().position(|kind| kind.kind == *name) else { continue };
            let devices = &self.0[kind];
            match request.amount() {
                Amount::Whole(count) => {
                    let whole = devices.whole(request).take(count as usize);
                    picks.extend(whole.map(|slot| Pick { kind, slot, share: WHOLE }));
                }
                Amount::Part(share) => {
                    let chosen = choose(name);
                    let slot = chosen.or_else(|| devices.fullest(request));
                    picks.extend(slot.map(|slot| Pick { kind, slot, share }));
                }
            }
        }
        picks
    }

    /// Takes what was picked, and says by name what it is.
    pub(crate) fn take(&mut self, picks: &[Pick]) -> Vec<DeviceUse> {
        let mut uses = Vec::with_capacity(picks.len());
        for Pick { kind, slot, share } in picks {
            let kind = &mut self.0[*kind];
            let slot = &mut kind.slots[*slot];
            slot.free = slot.free.checked_sub(*share).expect("devices are picked where they fit");
            let (id, model) = (slot.id.clone(), slot.model.clone());
            let share = Milli::from_thousandths(u64::from(*share));
            uses.push(DeviceUse { kind: kind.kind.clone(), id, model, share });
        }
        uses
    }

    /// Undoes [`HostDevices::take`].
    pub(crate) fn give_back(&mut self, picks: &[Pick]) {
        for Pick { kind, slot, share } in picks {
            self.0[*kind].slots[*slot].free += share;
        }
    }

    /// All devices with what is free of them.
    pub(crate) fn devices(&self) -> impl Iterator<Item = Device> + use<'_> {
        self.0.iter().flat_map(|kind| {
            kind.slots.iter().map(|slot| Device {
                kind: kind.kind.clone(),
                id: slot.id.clone(),
                model: slot.model.clone(),
                free: Milli::from_thousandths(u64::from(slot.free)),
            })
        })
    }
}

impl Kind {
    /// The devices, in order of id.
    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The model of the first device.
    pub(crate) fn model_of_first(&self) -> Option<&DeviceModel> {
        self.slots.first().map(|slot| &slot.model)
    }

    /// The model, if all devices are of the same.
    pub(crate) fn model(&self) -> Option<&DeviceModel> {
        self.model.as_ref()
    }

    /// Whether the model of a device may serve a request.
    pub(crate) fn accepted(&self, request: &DeviceRequest, slot: &Slot) -> bool {
        request.models().is_empty() || request.accepts(&slot.model)
    }

    fn serves(&self, request: &DeviceRequest) -> bool {
        if self.model.as_ref().is_some_and(|model| !request.accepts(model)) {
            return request.devices() == 0;
        }
        match request.amount() {
            Amount::Whole(count) => {
                self.whole(request).take(count as usize).count() == count as usize
            }
            Amount::Part(share) => {
                let fits = |slot: &Slot| slot.free >= share && self.accepted(request, slot);
                self.slots.iter().any(fits)
            }
        }
    }

    /// The positions of the devices that are free as a whole and may serve a request.
    pub(crate) fn whole(&self, request: &DeviceRequest) -> impl Iterator<Item = usize> {
        let free = |(_, slot): &(usize, &Slot)| slot.free == WHOLE && self.accepted(request, slot);
        self.slots.iter().enumerate().filter(free).map(|(position, _)| position)
    }

    /// The device with the least room of those that have room for a part; the first of several.
    pub(crate) fn fullest(&self, request: &DeviceRequest) -> Option<usize> {
        let Amount::Part(share) = request.amount() else { return None };
        let fits = |(_, slot): &(usize, &Slot)| slot.free >= share && self.accepted(request, slot);
        let room = self.slots.iter().enumerate().filter(fits);
        room.min_by_key(|(position, slot)| (slot.free, *position)).map(|(position, _)| position)
    }

    /// How many devices a request could have whole, and the greatest share of one that is free.
    pub(crate) fn free(&self, request: &DeviceRequest) -> (u32, Milli) {
        let whole = u32::try_from(self.whole(request).count()).unwrap_or(u32::MAX);
        let accepted = self.slots.iter().filter(|slot| self.accepted(request, slot));
        let most = accepted.map(|slot| slot.free).max().unwrap_or(0);
        (whole, Milli::from_thousandths(u64::from(most)))
    }
}
