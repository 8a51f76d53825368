use std::collections::HashMap;

/// Whose try it is.
#[derive(Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) address: u64,
    pub(crate) user: u64,
    pub(crate) pair: u64,
    /// The same credentials from the same address.
    pub(crate) flight: u64,
}

/// Tries that have not ended yet.
#[derive(Default)]
pub(crate) struct UnderWay {
    /// By address and credentials: those that are equal are one try.
    flights: HashMap<u64, Flight>,
    /// How many different ones an address has.
    busy: HashMap<u64, u32>,
}

struct Flight {
    waiting: u32,
    counted: bool,
}

impl UnderWay {
    /// Whether one more may begin, of so many at the most.
    pub(crate) fn begin(&mut self, origin: Origin, most: u32) -> bool {
        if let Some(flight) = self.flights.get_mut(&origin.flight) {
            flight.waiting = flight.waiting.saturating_add(1);
            return true;
        }
        let busy = self.busy.entry(origin.address).or_default();
        if *busy >= most {
            return false;
        }
        *busy += 1;
        self.flights.insert(origin.flight, Flight { waiting: 1, counted: false });
        true
    }

    /// Whether it has to be counted: of equal ones at the same time, one is.
    pub(crate) fn end(&mut self, origin: Origin, wrong: bool) -> bool {
        let Some(flight) = self.flights.get_mut(&origin.flight) else { return wrong };
        let counts = wrong && !flight.counted;
        flight.counted |= wrong;
        flight.waiting = flight.waiting.saturating_sub(1);
        if flight.waiting == 0 {
            self.flights.remove(&origin.flight);
            if let Some(busy) = self.busy.get_mut(&origin.address) {
                *busy = busy.saturating_sub(1);
                if *busy == 0 {
                    self.busy.remove(&origin.address);
                }
            }
        }
        counts
    }
}
