/// The shipped model `needles` as read-only data: a program that links this target loads it by name.
#pragma once
