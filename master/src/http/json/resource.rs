//! Resources in full: as the messages of the v1 API, with their reservations and disks.

use super::Json;
use proto::{Disk, DiskKind, Labels, Piece, Reservation, ReservationKind, Resources, Value};

impl Json {
    /// Resources as a list of messages.
    pub(crate) fn full_resources(&mut self, resources: &Resources) {
        self.begin_list();
        for piece in resources.pieces() {
            self.begin_object();
            self.name("name").text(piece.name.as_str());
            // As old readers have it: the most refined reservation.
            self.name("role").text(piece.flavor.reserved_to().map_or("*", |role| role.as_str()));
            self.amount(&piece.value);
            self.flavor(piece);
            self.end_object();
        }
        self.end_list();
    }

    fn amount(&mut self, value: &Value) {
        match value {
            Value::Scalar(milli) => {
                self.name("type").text("SCALAR");
                self.name("scalar").begin_object();
                self.name("value").double(*milli as f64 / 1000.0);
                self.end_object();
            }
            Value::Ranges(ranges) => {
                self.name("type").text("RANGES");
                self.name("ranges").begin_object();
                self.name("range").begin_list();
                for (begin, end) in ranges.pairs() {
                    self.begin_object();
                    self.name("begin").int(*begin);
                    self.name("end").int(*end);
                    self.end_object();
                }
                self.end_list();
                self.end_object();
            }
            Value::Set(items) => {
                self.name("type").text("SET");
                self.name("set").begin_object();
                self.name("item").texts(items.iter().map(|item| &**item));
                self.end_object();
            }
        }
    }

    /// What makes it other than plain.
    fn flavor(&mut self, piece: &Piece) {
        let flavor = &piece.flavor;
        if !flavor.reservations().is_empty() {
            self.name("reservations").begin_list();
            flavor.reservations().iter().for_each(|one| self.reservation(one));
            self.end_list();
        }
        if let Some(disk) = flavor.disk() {
            self.disk(disk);
        }
        for (name, is_so) in [("revocable", flavor.revocable), ("shared", flavor.is_shared())] {
            if is_so {
                self.name(name).begin_object();
                self.end_object();
            }
        }
    }

    fn reservation(&mut self, reservation: &Reservation) {
        self.begin_object();
        self.name("type").text(match reservation.kind {
            ReservationKind::Static => "STATIC",
            ReservationKind::Dynamic => "DYNAMIC",
        });
        self.name("role").text(reservation.role.as_str());
        if let Some(principal) = &reservation.principal {
            self.name("principal").text(principal);
        }
        if !reservation.labels.is_empty() {
            self.name("labels").labels(&reservation.labels);
        }
        self.end_object();
    }

    fn labels(&mut self, labels: &Labels) {
        self.begin_object();
        self.name("labels").begin_list();
        for (key, value) in labels {
            self.begin_object();
            self.name("key").text(key);
            if let Some(value) = value {
                self.name("value").text(value);
            }
            self.end_object();
        }
        self.end_list();
        self.end_object();
    }

    fn disk(&mut self, disk: &Disk) {
        self.name("disk").begin_object();
        if let Some(persistence) = &disk.persistence {
            self.name("persistence").begin_object();
            self.name("id").text(persistence.id.as_str());
            if let Some(principal) = &persistence.principal {
                self.name("principal").text(principal);
            }
            self.end_object();
        }
        if let Some(mount) = &disk.mount {
            self.name("volume").begin_object();
            self.name("container_path").text(&mount.container_path);
            self.name("mode").text(if mount.read_only { "RO" } else { "RW" });
            self.end_object();
        }
        if let Some(source) = &disk.source {
            let (kind, member) = match source.kind {
                DiskKind::Path => ("PATH", Some("path")),
                DiskKind::Mount => ("MOUNT", Some("mount")),
                DiskKind::Block => ("BLOCK", None),
                DiskKind::Raw => ("RAW", None),
            };
            self.name("source").begin_object();
            self.name("type").text(kind);
            if let (Some(member), Some(root)) = (member, &source.root) {
                self.name(member).begin_object();
                self.name("root").text(root);
                self.end_object();
            }
            for (name, text) in
                [("id", &source.id), ("profile", &source.profile), ("vendor", &source.vendor)]
            {
                if let Some(text) = text {
                    self.name(name).text(text);
                }
            }
            self.end_object();
        }
        self.end_object();
    }
}
