use std::{
    any::{Any, TypeId},
    sync::{Arc, OnceLock},
};

/// The deserialized claims of a principal: one value for each type.
///
/// It is a list, because a program has few such types. Requests that share the principal add to it
/// without a lock.
#[derive(Clone, Default)]
pub(crate) struct TypedClaims {
    first: OnceLock<Entry>,
    others: OnceLock<Box<Self>>,
}

#[derive(Clone)]
struct Entry {
    type_id: TypeId,
    claims: Arc<dyn Any + Send + Sync>,
}

impl Entry {
    fn get<C: Any + Send + Sync>(&self) -> Option<Arc<C>> {
        let is_same_type = self.type_id == TypeId::of::<C>();
        is_same_type.then(|| Arc::clone(&self.claims).downcast().ok())?
    }
}

impl TypedClaims {
    #[inline]
    pub(crate) fn get<C: Any + Send + Sync>(&self) -> Option<Arc<C>> {
        let mut list = self;
        loop {
            match list.first.get()?.get() {
                Some(claims) => return Some(claims),
                None => list = list.others.get()?,
            }
        }
    }

    /// Adds claims, and returns them. If another request has added this type, returns its claims.
    pub(crate) fn get_or_insert<C: Any + Send + Sync>(&self, claims: C) -> Arc<C> {
        let claims = Arc::new(claims);
        let entry = Entry { type_id: TypeId::of::<C>(), claims: Arc::<C>::clone(&claims) };
        let mut list = self;
        loop {
            match list.first.get_or_init(|| entry.clone()).get() {
                Some(claims) => return claims,
                None => list = list.others.get_or_init(Box::default),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, thread};

    use super::*;

    #[test]
    fn concurrent_requests_share_one_value_of_each_type() {
        const THREADS: u64 = 64;
        let (typed, barrier) = (TypedClaims::default(), Barrier::new(64));
        let results = thread::scope(|scope| {
            let start = |number: u64| {
                let (typed, barrier) = (&typed, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    match number % 2 {
                        0 => (Some(typed.get_or_insert(number)), None),
                        _ => (None, Some(typed.get_or_insert(number.to_string()))),
                    }
                })
            };
            let threads: Vec<_> = (0..THREADS).map(start).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        let (number, text) = (typed.get::<u64>().unwrap(), typed.get::<String>().unwrap());
        for (other_number, other_text) in results {
            assert!(other_number.is_none_or(|other| Arc::ptr_eq(&other, &number)));
            assert!(other_text.is_none_or(|other| Arc::ptr_eq(&other, &text)));
        }
        assert!(typed.get::<u32>().is_none());
    }
}
