/// The shipped model `striped` as read-only data: a program that links this target loads it by name.
#pragma once
