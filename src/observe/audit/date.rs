use std::time::{SystemTime, UNIX_EPOCH};

const DAY: u64 = 86_400;

/// A day in UTC, as the number of days since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Day(pub(super) u32);

/// A time in UTC with a precision of one millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timestamp {
    pub(super) day: Day,
    seconds: u32,
    millis: u32,
}

impl Timestamp {
    /// Times before 1970 and after 9999 have no other form, so they become the first or last one.
    pub(super) fn of(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (days, seconds) = (since.as_secs() / DAY, since.as_secs() % DAY);
        let millis = since.subsec_millis();
        match u32::try_from(days).map(Day) {
            Ok(day) if day <= Day::LAST => {
                Self { day, seconds: u32::try_from(seconds).unwrap_or_default(), millis }
            }
            _ => Self { day: Day::LAST, seconds: 86_399, millis: 999 },
        }
    }

    /// Appends the time in the form of RFC 3339, such as `2026-11-30T13:55:04.120Z`.
    pub(super) fn write(self, out: &mut Vec<u8>) {
        self.day.write(out);
        out.push(b'T');
        push_digits(out, self.seconds / 3_600, 2);
        out.push(b':');
        push_digits(out, self.seconds / 60 % 60, 2);
        out.push(b':');
        push_digits(out, self.seconds % 60, 2);
        out.push(b'.');
        push_digits(out, self.millis, 3);
        out.push(b'Z');
    }
}

impl Day {
    /// 9999-12-31.
    const LAST: Self = Self(2_932_896);

    /// Appends the day as `2026-11-30`.
    pub(super) fn write(self, out: &mut Vec<u8>) {
        let (year, month, day) = self.to_civil();
        push_digits(out, year, 4);
        out.push(b'-');
        push_digits(out, month, 2);
        out.push(b'-');
        push_digits(out, day, 2);
    }

    /// Parses what [`write`](Self::write) writes, and nothing else.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let number = |digits: &[u8]| {
            digits.iter().try_fold(0, |number: u32, digit| {
                Some(number * 10 + char::from(*digit).to_digit(10)?)
            })
        };
        let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *text else { return None };
        let civil = (number(&[y1, y2, y3, y4])?, number(&[m1, m2])?, number(&[d1, d2])?);
        let day = Self::from_civil(civil)?;
        (day.to_civil() == civil).then_some(day)
    }

    /// Returns the year, the month and the day. The era starts on 0000-03-01, so that the leap day
    /// is the last day of a year.
    fn to_civil(self) -> (u32, u32, u32) {
        let days = self.0 + 719_468;
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        (era * 400 + year_of_era + u32::from(month <= 2), month, day)
    }

    /// The result is wrong for a date that does not exist.
    fn from_civil((year, month, day): (u32, u32, u32)) -> Option<Self> {
        if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || day == 0 {
            return None;
        }
        let year = year - u32::from(month <= 2);
        let shifted = (month + 9) % 12;
        let day_of_year = (153 * shifted + 2) / 5 + day - 1;
        let days = 365 * year + year / 4 - year / 100 + year / 400 + day_of_year;
        days.checked_sub(719_468).map(Self)
    }
}

fn push_digits(out: &mut Vec<u8>, number: u32, width: u32) {
    for position in (0..width).rev() {
        let digit = number / 10_u32.pow(position) % 10;
        out.push(b"0123456789".get(digit as usize).copied().unwrap_or(b'0'));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn time(seconds: u64, millis: u32) -> String {
        let time = UNIX_EPOCH + Duration::new(seconds, millis * 1_000_000 + 999_999);
        text(|out| Timestamp::of(time).write(out))
    }

    #[test]
    fn times_have_the_form_of_rfc_3339() {
        // Computed with `date -u -d @SECONDS`.
        for (seconds, millis, expected) in [
            (0, 0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, 7, "2000-02-28T23:59:59.007Z"),
            (951_782_400, 0, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199, 999, "2024-02-29T23:59:59.999Z"),
            (1_796_046_904, 120, "2026-11-30T13:55:04.120Z"),
            (4_107_542_400, 40, "2100-03-01T00:00:00.040Z"),
            (253_402_300_799, 0, "9999-12-31T23:59:59.000Z"),
            (253_402_300_800, 0, "9999-12-31T23:59:59.999Z"),
            (u64::from(u32::MAX) * DAY, 0, "9999-12-31T23:59:59.999Z"),
            (i64::MAX as u64, 0, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(time(seconds, millis), expected);
        }
        let before = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(text(|out| Timestamp::of(before).write(out)), "1970-01-01T00:00:00.000Z");
    }

    /// Each day from 1970 to 9999, against a count of days by the definition of the calendar.
    #[test]
    fn each_day_is_that_of_the_calendar_and_is_parsed_again() {
        let mut next = Day(0);
        for year in 1970..=9999 {
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let february = if is_leap { 29 } else { 28 };
            let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            for (month, days) in (1..).zip(months) {
                for day in 1..=days {
                    assert_eq!(next.to_civil(), (year, month, day));
                    assert_eq!(Day::from_civil((year, month, day)), Some(next));
                    next.0 += 1;
                }
                let missing = format!("{year}-{month:02}-{:02}", days + 1);
                assert_eq!(Day::parse(missing.as_bytes()), None, "{missing}");
            }
        }
        assert_eq!(next.0, Day::LAST.0 + 1);
    }

    #[test]
    fn other_texts_are_not_days() {
        assert_eq!(Day::parse(b"1970-01-01"), Some(Day(0)));
        for text in [
            "",
            "1970-01-1",
            "1970-01-001",
            "1969-12-31",
            "10000-01-1",
            "2026-00-10",
            "2026-13-10",
            "2026-10-00",
            "2026/10/10",
            "+026-10-10",
            "2026-1a-10",
            " 2026-10-1",
            "٢٠٢٦-10-10",
        ] {
            assert_eq!(Day::parse(text.as_bytes()), None, "{text:?}");
        }
    }
}
