//! `add`, one call at a time.

use bytes::Bytes;

use super::{
    operations::read,
    suite::{StoreSuite, long, require, unreadable, value},
};

pub(super) async fn run(suite: &StoreSuite) {
    results(suite).await;
    digits(suite).await;
    not_a_number(suite).await;
    overflow(suite).await;
}

async fn results(suite: &StoreSuite) {
    let (store, one, two) = (suite.store(), suite.key(), suite.key());
    let rule = "add returns the result for each key, in the same order";
    let steps: [(&[_], i64, &[i64]); 6] = [
        (&[one], 2, &[2]),
        (&[two, one], 3, &[3, 5]),
        (&[one, two, one], 1, &[6, 4, 7]),
        (&[one], -10, &[-3]),
        (&[one, two], 0, &[-3, 4]),
        (&[], 1, &[]),
    ];
    for (keys, delta, expected) in steps {
        let results = value("add", store.add(keys, delta, long())).await;
        require(results == expected, rule, format!("{results:?} instead of {expected:?}"));
    }
    let new = suite.key();
    let results = value("add", store.add(&[new], -1, long())).await;
    let rule = "a counter that does not exist starts at zero";
    require(results == [-1], rule, format!("{results:?} after -1 was added"));
}

async fn digits(suite: &StoreSuite) {
    let (store, key) = (suite.store(), suite.key());
    let rule = "the value of a counter is its decimal digits";
    for (delta, expected) in [(120, "120"), (-120, "0"), (-7, "-7")] {
        value("add", store.add(&[key], delta, long())).await;
        let found = read(suite, key).await;
        let observed = format!("{found:?} instead of {expected:?}");
        require(found.as_deref() == Some(expected.as_bytes()), rule, observed);
    }
    let taken = value("take", store.take(&key)).await;
    require(taken.as_deref() == Some(b"-7"), rule, format!("take returned {taken:?}"));
    let results = value("add", store.add(&[key], 1, long())).await;
    let rule = "a counter that does not exist starts at zero";
    require(results == [1], rule, format!("{results:?} after it was taken"));
    let record = Bytes::from_static(b"record");
    value("put", store.put(&key, record.clone(), long())).await;
    let found = read(suite, key).await;
    let rule = "put replaces an existing record";
    require(found == Some(record), rule, format!("a counter stayed: {found:?}"));
}

async fn not_a_number(suite: &StoreSuite) {
    let store = suite.store();
    for text in [&b"sealed"[..], b"", b"1.5", b"1 ", b"a\0", b"12345678901234567890"] {
        let key = suite.key();
        let text = Bytes::from_static(text);
        value("put", store.put(&key, text.clone(), long())).await;
        unreadable(&format!("add to {text:?}"), store.add(&[key], 1, long())).await;
        let found = read(suite, key).await;
        let rule = "a failed add does not change the value";
        require(found.as_ref() == Some(&text), rule, format!("{text:?} became {found:?}"));
    }
}

async fn overflow(suite: &StoreSuite) {
    let store = suite.store();
    for (limit, step) in [(i64::MAX, 1), (i64::MIN, -1)] {
        let key = suite.key();
        let results = value("add", store.add(&[key], limit, long())).await;
        let rule = "counters have the range of an i64";
        require(results == [limit], rule, format!("{results:?} instead of {limit}"));
        unreadable(&format!("add {step} to {limit}"), store.add(&[key], step, long())).await;
        let found = read(suite, key).await;
        let rule = "a failed add does not change the value";
        let is_unchanged = found.as_deref() == Some(limit.to_string().as_bytes());
        require(is_unchanged, rule, format!("{limit} became {found:?}"));
    }
}
