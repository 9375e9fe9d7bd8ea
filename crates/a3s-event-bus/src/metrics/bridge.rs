//! The figures in a recorder of the `metrics` crate: every name is described
//! once with its unit, and every series is resolved once, when the bus is built.

use metrics::{Key, KeyName, Level, Metadata, Recorder, Unit};

use super::{
    instruments::Meter,
    names::{FAMILIES, Family, Kind, Label, SYSTEM},
};

static METADATA: Metadata<'_> = Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

/// Tells `recorder` the meaning and the unit of every name.
pub(super) fn describe(recorder: &dyn Recorder) {
    for family in FAMILIES {
        let name = KeyName::from_const_str(family.name);
        let help = family.help.into();
        match family.kind {
            Kind::Counter => recorder.describe_counter(name, Some(Unit::Count), help),
            Kind::Gauge => recorder.describe_gauge(name, Some(Unit::Count), help),
            Kind::Seconds => recorder.describe_histogram(name, Some(Unit::Seconds), help),
        }
    }
}

impl Meter<'_> {
    pub(super) fn export_counter(self, family: &Family, labels: &[Label]) -> metrics::Counter {
        self.recorder
            .register_counter(&self.key(family, labels), &METADATA)
    }

    pub(super) fn export_gauge(self, family: &Family) -> metrics::Gauge {
        self.recorder
            .register_gauge(&self.key(family, &[]), &METADATA)
    }

    pub(super) fn export_histogram(self, family: &Family, labels: &[Label]) -> metrics::Histogram {
        self.recorder
            .register_histogram(&self.key(family, labels), &METADATA)
    }

    fn key(self, family: &Family, labels: &[Label]) -> Key {
        let system = metrics::Label::new(SYSTEM, self.system.to_owned());
        let others = labels
            .iter()
            .map(|&(name, value)| metrics::Label::from_static_parts(name, value));
        Key::from_parts(
            family.name,
            [system].into_iter().chain(others).collect::<Vec<_>>(),
        )
    }
}
