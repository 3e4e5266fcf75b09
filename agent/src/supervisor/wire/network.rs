//! A task's own network, as fields of frames.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::WireError;
use super::codec::{Reader, Writer};
use crate::supervisor::task::{Closed, Network, NetworkPod, PortMap, Traffic};

impl Writer<'_> {
    pub(super) fn network(&mut self, v: &Network) {
        self.u32(v.subnet.into());
        self.u8(v.prefix);
        self.option(v.bits_a_second);
        self.u8(u8::from(v.masquerade));
        self.u8(u8::from(v.link_local));
        self.u8(u8::from(v.cluster));
        self.ports(&v.ports);
        self.u8(u8::from(v.pod.is_some()));
        if let Some(NetworkPod { name, bits_a_second, ports }) = &v.pod {
            self.text(name);
            self.option(*bits_a_second);
            self.ports(ports);
        }
    }

    pub(super) fn closed(&mut self, Closed { here, there }: &Closed) {
        self.u32(u32::try_from(here.len()).unwrap_or(u32::MAX));
        here.iter().for_each(|port| self.u32(u32::from(*port)));
        self.u32(u32::try_from(there.len()).unwrap_or(u32::MAX));
        for place in there {
            self.u32((*place.ip()).into());
            self.u32(u32::from(place.port()));
        }
    }

    fn ports(&mut self, ports: &[PortMap]) {
        self.u32(u32::try_from(ports.len()).unwrap_or(u32::MAX));
        for map in ports {
            self.u32(u32::from(map.host) << 16 | u32::from(map.inside));
            self.u8(u8::from(map.udp));
        }
    }

    pub(super) fn address(&mut self, v: Option<Ipv4Addr>) {
        self.option(v.map(|address| u32::from(address).into()));
    }

    pub(super) fn traffic(&mut self, v: Option<Traffic>) {
        self.u8(u8::from(v.is_some()));
        if let Some(Traffic { sent_bytes, received_bytes }) = v {
            self.u64(sent_bytes);
            self.u64(received_bytes);
        }
    }
}

impl Reader<'_> {
    pub(super) fn network(&mut self) -> Result<Network, WireError> {
        let (subnet, prefix) = (self.u32("subnet")?.into(), self.u8("prefix")?);
        if prefix > 32 {
            return Err(WireError::Field { field: "prefix", problem: "above 32" });
        }
        Ok(Network {
            subnet,
            prefix,
            bits_a_second: self.option("rate")?,
            masquerade: self.flag("masquerade")?,
            link_local: self.flag("link_local")?,
            cluster: self.flag("cluster")?,
            ports: self.ports()?,
            pod: self.flag("in a pod")?.then(|| self.network_pod()).transpose()?,
        })
    }

    pub(super) fn closed(&mut self) -> Result<Closed, WireError> {
        let here: Result<_, _> =
            (0..self.count("closed ports", 4)?).map(|_| self.number_of_port()).collect();
        let place = |r: &mut Self| {
            let address = r.u32("closed address")?.into();
            Ok(SocketAddrV4::new(address, r.number_of_port()?))
        };
        let there: Result<_, _> =
            (0..self.count("closed addresses", 8)?).map(|_| place(self)).collect();
        Ok(Closed { here: here?, there: there? })
    }

    fn number_of_port(&mut self) -> Result<u16, WireError> {
        let wrong = WireError::Field { field: "closed port", problem: "above 65535" };
        u16::try_from(self.u32("closed port")?).map_err(|_| wrong)
    }

    fn network_pod(&mut self) -> Result<NetworkPod, WireError> {
        let (name, bits_a_second) = (self.text("pod")?, self.option("rate of the pod")?);
        Ok(NetworkPod { name, bits_a_second, ports: self.ports()? })
    }

    fn ports(&mut self) -> Result<Vec<PortMap>, WireError> {
        (0..self.count("ports", 5)?).map(|_| self.port()).collect()
    }

    fn port(&mut self) -> Result<PortMap, WireError> {
        let [b0, b1, b2, b3] = self.u32("ports")?.to_be_bytes();
        let (host, inside) = (u16::from_be_bytes([b0, b1]), u16::from_be_bytes([b2, b3]));
        Ok(PortMap { host, inside, udp: self.flag("udp")? })
    }

    pub(super) fn address(&mut self) -> Result<Option<Ipv4Addr>, WireError> {
        let wrong = WireError::Field { field: "address", problem: "not an IPv4 address" };
        let number = self.option("address")?.map(u32::try_from).transpose();
        Ok(number.map_err(|_| wrong)?.map(Ipv4Addr::from))
    }

    pub(super) fn traffic(&mut self) -> Result<Option<Traffic>, WireError> {
        if !self.flag("traffic")? {
            return Ok(None);
        }
        let (sent_bytes, received_bytes) = (self.u64("sent")?, self.u64("received")?);
        Ok(Some(Traffic { sent_bytes, received_bytes }))
    }
}
